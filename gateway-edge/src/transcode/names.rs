//! How a caller wrote the fields of a message, where that is not how the message has them.

use headgate_kit::Failure;
use prost_reflect::{FieldDescriptor, Kind};

use super::contract::{Binding, BodyRule};
use super::wrapper;

const FIELD: &str = "field";

/// The names of one request.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// The field that is the whole body, so that the body does not name it.
    body: Option<FieldDescriptor>,
    /// Where a list or a map stands in place of the message that holds it.
    bare: Vec<String>,
}

impl Names {
    pub(super) fn of(binding: &Binding) -> Self {
        let body = match &binding.body {
            BodyRule::Field(field) => Some(field.clone()),
            BodyRule::Whole | BodyRule::None => None,
        };
        Self { body, bare: Vec::new() }
    }

    /// Notes that a list or a map stands there in place of its message.
    pub(super) fn is_bare(&mut self, path: &str) {
        self.bare.push(path.to_owned());
    }

    /// A failure that names the field at fault as the caller wrote it, in its text too.
    pub(super) fn as_written(&self, mut failure: Failure) -> Failure {
        let Some(field) = failure.metadata.get(FIELD).cloned() else { return failure };
        let Some(written) = self.written(&field) else { return failure };
        failure.message = self.text(&failure.message, &field);
        failure.metadata.insert(FIELD.to_owned(), written);
        failure
    }

    /// What the caller wrote for a field of the message; `None` where that is the same.
    fn written(&self, name: &str) -> Option<String> {
        let bare = self.bare.iter().find_map(|path| {
            let rest = name.strip_prefix(path.as_str())?.strip_prefix('.')?.strip_prefix(wrapper::VALUES)?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{path}{rest}"))
        });
        let within = self.within_body(bare.as_deref().unwrap_or(name)).map(str::to_owned);
        within.or(bare)
    }

    /// A field of the body, of a name that has the body's before it.
    fn within_body<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_prefix(self.body.as_ref()?.name())?.strip_prefix('.')
    }

    /// A text that names `field`, and maybe others.
    fn text(&self, text: &str, field: &str) -> String {
        let mut told = String::with_capacity(text.len());
        for word in text.split_inclusive(|letter: char| !is_of_name(letter)) {
            let name = word.trim_end_matches(|letter: char| !is_of_name(letter) || letter == '.');
            let written = self.written(name).filter(|_| name == field || self.is_known(name));
            told.push_str(written.as_deref().unwrap_or(name));
            told.push_str(&word[name.len()..]);
        }
        told
    }

    /// Whether a name that begins like those of the body's fields is one of them. Other words may begin so.
    fn is_known(&self, name: &str) -> bool {
        let Some(rest) = self.within_body(name) else { return true };
        let first = rest.split(['.', '[']).next().unwrap_or_default();
        let body = self.body.as_ref().map(FieldDescriptor::kind);
        body.as_ref().and_then(Kind::as_message).is_some_and(|body| body.get_field_by_name(first).is_some())
    }
}

/// Whether a letter may stand in the name of a field within fields.
fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '[' | ']' | '-')
}
