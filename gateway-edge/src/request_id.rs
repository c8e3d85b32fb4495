//! The name of a request, the client's or our own.

use headgate_kit::clock::Clock;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it, in requests, responses and gRPC metadata.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 128;

/// 1 to 128 visible ASCII characters.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's id where it is sane, else a new one.
    pub(crate) fn of(headers: &HeaderMap, clock: &Clock) -> Self {
        match headers.get(X_REQUEST_ID) {
            Some(given) if is_sane(given.as_bytes()) => Self(given.clone()),
            _ => Self::new(clock),
        }
    }

    fn new(clock: &Clock) -> Self {
        let mut text = [0; 36];
        let text = headgate_kit::ids::uuid(clock).hyphenated().encode_lower(&mut text);
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown")))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

fn is_sane(id: &[u8]) -> bool {
    (1..=MAX_LENGTH).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_visible_ids_are_kept() {
        let clock = Clock::manual(1_700_000_000_000_000);
        let kept = |given: &[u8]| {
            let value = HeaderValue::from_bytes(given).unwrap();
            RequestId::of(&HeaderMap::from_iter([(X_REQUEST_ID, value)]), &clock).as_str().as_bytes() == given
        };
        assert!(kept(b"a") && kept(&[b'~'; 128]));
        assert!(!kept(b"") && !kept(&[b'x'; 129]) && !kept(b"a b") && !kept("\u{e9}".as_bytes()));
    }

    #[test]
    fn a_made_id_is_a_dated_uuid() {
        let id = RequestId::of(&HeaderMap::new(), &Clock::manual(1_700_000_000_000_000));
        assert!(id.as_str().starts_with("018bcfe5-6800-7"), "{}", id.as_str());
        assert_eq!(id.as_str().len(), 36);
    }
}
