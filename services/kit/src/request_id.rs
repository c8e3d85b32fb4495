//! The name of a request, the client's or our own.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::Clock;

/// The header that carries it, in requests, responses and gRPC metadata.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 128;

/// 1 to 128 visible ASCII characters. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The client's id where it is sane, else a new one.
    #[must_use]
    pub fn of(headers: &HeaderMap, clock: &Clock) -> Self {
        headers.get(X_REQUEST_ID).and_then(Self::given).unwrap_or_else(|| Self::new(clock))
    }

    /// The id as a client gave it, if it is sane.
    #[must_use]
    pub fn given(id: &HeaderValue) -> Option<Self> {
        is_sane(id.as_bytes()).then(|| Self(id.clone()))
    }

    fn new(clock: &Clock) -> Self {
        let mut text = [0; 36];
        let text = crate::ids::uuid(clock).hyphenated().encode_lower(&mut text);
        Self(HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unknown")))
    }

    /// As a header carries it.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// As a log line or a record tells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
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
