//! What requests ask of a resource's version, and what answers tell of it (RFC 9110, sections 8.8.3 and 13.1.1).

use headgate_kit::Failure;
use http::header::IF_MATCH;
use http::{HeaderMap, HeaderValue};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _};

use super::contract::{Binding, FieldPath};

const NAME: &str = "etag";

/// The field of a message that has its version.
pub(crate) fn field(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let found = message.get_field_by_name(NAME)?;
    (found.kind() == Kind::String && !found.is_list()).then_some(found)
}

/// The version that a request asks for with `If-Match`; `None` where it takes any.
///
/// # Errors
/// INVALID_REQUEST when that is no single strong etag, or when the call would change something without looking at it.
pub(super) fn wanted(binding: &Binding, headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut given = headers.get_all(IF_MATCH).iter();
    let Some(first) = given.next() else { return Ok(None) };
    let refuse = |text: &str| Err(Failure::invalid(NAME, text));
    let single = given.next().is_none().then(|| first.as_bytes().trim_ascii());
    if single == Some(b"*") {
        return Ok(None);
    }
    let Some(etag) = single.and_then(opaque) else {
        return refuse("If-Match must be `*` or one strong etag in quotation marks");
    };
    match field(&binding.method.input()) {
        Some(_) => Ok(Some(etag)),
        // Nothing is lost where nothing changes.
        None if binding.verb.is_safe() => Ok(None),
        None => refuse("this call compares no etag: leave If-Match out"),
    }
}

/// What stands between the quotation marks of a strong etag. An empty one would ask for nothing.
fn opaque(given: &[u8]) -> Option<String> {
    let text = str::from_utf8(given).ok()?.strip_prefix('"')?.strip_suffix('"')?;
    (!text.is_empty() && !text.contains('"')).then(|| text.to_owned())
}

/// Where an answer has the version of what it shows: on top, or in the only message within that has one.
pub(crate) fn place(output: &MessageDescriptor) -> Option<FieldPath> {
    if let Some(own) = field(output) {
        return Some(vec![own]);
    }
    let within = |holder: FieldDescriptor| {
        let message =
            holder.kind().as_message().cloned().filter(|_| !holder.is_list() && !holder.is_map())?;
        Some(vec![holder, field(&message)?])
    };
    let mut places = output.fields().filter_map(within);
    places.next().filter(|_| places.next().is_none())
}

/// The header that tells the version of what an answer shows; `None` where it has none.
pub(super) fn told(answer: &DynamicMessage) -> Option<HeaderValue> {
    at(answer, &place(&answer.descriptor())?)
}

fn at(message: &DynamicMessage, path: &[FieldDescriptor]) -> Option<HeaderValue> {
    let [first, rest @ ..] = path else { return None };
    let value = message.get_field(first);
    if rest.is_empty() { header(value.as_str()?) } else { at(value.as_message()?, rest) }
}

/// An etag as its header has it; `None` for one that is empty, or no header could have.
pub(super) fn header(etag: &str) -> Option<HeaderValue> {
    (!etag.is_empty() && !etag.contains('"')).then(|| HeaderValue::try_from(format!("\"{etag}\"")).ok())?
}
