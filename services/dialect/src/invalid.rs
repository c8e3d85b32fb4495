//! The one error of this crate.

/// What is wrong with a body, a prompt or a stream. Its text names fields and places, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The faulty field as a path, like `messages` or `messages[0].role`; `None` when the whole is faulty, as when
    /// it is not JSON.
    pub field: Option<String>,
    /// What is wrong with it, in lower case and naming the field.
    pub message: String,
}

impl Invalid {
    /// A fault of the whole.
    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self { field: None, message: message.into() }
    }

    /// A fault of one field; the message reads "`field` `what`".
    pub(crate) fn field(field: impl Into<String>, what: &str) -> Self {
        let field = field.into();
        Self { message: format!("{field} {what}"), field: Some(field) }
    }

    /// What serde_json said about `subject`. Its text is used for syntax errors only: those about types quote values.
    pub(crate) fn json(subject: &str, error: &serde_json::Error) -> Self {
        if error.is_data() {
            let (line, column) = (error.line(), error.column());
            return Self::whole(format!(
                "{subject} lacks a member or has one of an unexpected type at line {line} column {column}"
            ));
        }
        Self::whole(format!("{subject} is not valid JSON: {error}"))
    }
}
