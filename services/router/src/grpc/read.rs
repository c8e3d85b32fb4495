//! What a request says of itself, and how much of that is believed.

use std::borrow::Cow;

use headgate_kit::error::Failure;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::inference::v1::BodyFacts;

use crate::asked::Asked;

/// What was read of a request's content.
#[derive(Debug)]
pub(super) struct Read {
    /// The model named in a body.
    pub(super) model: Option<String>,
    pub(super) facts: BodyFacts,
}

impl Read {
    /// What the request asks for. `model` is the one that the message itself names: it counts before a body's.
    pub(super) fn ask(self, model: &str, operation: Operation, streamed: bool) -> Result<Asked<'_>, Failure> {
        let model = match self.model {
            Some(named) if model.is_empty() => Cow::Owned(named),
            _ => Cow::Borrowed(model),
        };
        if model.is_empty() {
            return Err(Failure::invalid("model", "a model is required"));
        }
        Ok(Asked { model, operation, facts: self.facts, streamed })
    }
}
