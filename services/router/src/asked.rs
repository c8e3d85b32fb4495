//! What a request asks for, and what it can take at most.

use std::borrow::Cow;

use headgate_proto::budget::v1::CapTerms;
use headgate_proto::catalog::v1::Operation;
use headgate_proto::inference::v1::BodyFacts;

use crate::estimate;
use crate::models::Entry;
use crate::price::worst_case;

/// A request as its consumer words it.
pub(crate) struct Asked<'a> {
    pub(crate) model: Cow<'a, str>,
    pub(crate) operation: Operation,
    pub(crate) facts: BodyFacts,
    pub(crate) streamed: bool,
}

impl Asked<'_> {
    /// The most that it can cost, in nano-USD.
    pub(crate) fn hold_nano_usd(&self, entry: &Entry) -> i64 {
        let most = self.output_limit(entry).unwrap_or(entry.model.max_output_tokens);
        let output = match self.operation {
            Operation::Chat => u64::from(most) * u64::from(self.choices()),
            _ => 0,
        };
        worst_case(&entry.dearest(), self.facts.prompt_bytes.into(), output)
    }

    /// What the token limit is charged with: the prompt, and the answer where the request or the model's default bounds
    /// it.
    pub(crate) fn limit_tokens(&self, entry: &Entry) -> u32 {
        let output = self.output_limit(entry).unwrap_or(0).saturating_mul(self.choices());
        estimate::tokens(self.facts.prompt_bytes).saturating_add(output)
    }

    /// The most tokens of an answer to a request that sets no limit of its own, where the model has a default.
    pub(crate) fn default_output_limit(&self, entry: &Entry) -> Option<u32> {
        if self.operation != Operation::Chat || self.facts.max_output_tokens.is_some() {
            return None;
        }
        entry.model.request_defaults.as_ref()?.max_output_tokens
    }

    /// A request that sets no limit of its own may be given less than the model's default or maximum.
    pub(crate) fn cap_terms(&self, entry: &Entry) -> Option<CapTerms> {
        if self.operation != Operation::Chat || self.facts.max_output_tokens.is_some() {
            return None;
        }
        let price = entry.dearest();
        Some(CapTerms {
            prompt_nano_usd: worst_case(&price, self.facts.prompt_bytes.into(), 0),
            output_nano_usd_per_1k_tokens: price
                .output_nano_usd_per_1k_tokens
                .saturating_mul(self.choices().into()),
        })
    }

    fn output_limit(&self, entry: &Entry) -> Option<u32> {
        self.facts.max_output_tokens.or_else(|| self.default_output_limit(entry))
    }

    fn choices(&self) -> u32 {
        self.facts.choices.max(1)
    }
}
