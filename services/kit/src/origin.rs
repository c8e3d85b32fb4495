//! Where a request comes from, as services tell each other.
//!
//! The edge knows its client's address, and the gRPC listener whoever connected. Either writes it over whatever the
//! client said itself, so a service behind them may believe it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::scope;

/// The metadata that carries the client's address.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Where a client says what it is: to the edge, or to a service itself.
const USER_AGENTS: [&str; 2] = ["x-forwarded-user-agent", "user-agent"];
/// What is kept of what a client calls itself, in characters.
const MAX_USER_AGENT: usize = 256;

/// Where a request comes from, as far as anyone can tell. The default is nowhere: what a process does by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address.
    pub address: Option<IpAddr>,
    /// What the client calls itself, at most 256 characters. Empty where it does not say.
    pub user_agent: String,
    /// The request's name. Empty where it has none.
    pub request_id: String,
}

impl Origin {
    /// As a request's headers or metadata tell.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let user_agent = USER_AGENTS.iter().find_map(|name| headers.get(*name)?.to_str().ok());
        let user_agent = user_agent.unwrap_or_default().chars().take(MAX_USER_AGENT).collect();
        let given = || Some(RequestId::given(headers.get(X_REQUEST_ID)?)?.as_str().to_owned());
        let request_id = scope::with_current(|context| context.id.as_str().to_owned()).or_else(given);
        Self { address: of(headers), user_agent, request_id: request_id.unwrap_or_default() }
    }
}

/// The client's address; `None` where nobody could tell.
#[must_use]
pub fn of(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get(X_FORWARDED_FOR)?.to_str().ok()?.parse().ok()
}

/// Tells the client's address, or that nobody can.
pub fn tell(headers: &mut HeaderMap, client: Option<IpAddr>) {
    match client.and_then(|address| HeaderValue::try_from(address.to_string()).ok()) {
        Some(address) => drop(headers.insert(X_FORWARDED_FOR, address)),
        None => drop(headers.remove(X_FORWARDED_FOR)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_the_headers_tell_of_it() {
        let mut headers = HeaderMap::new();
        assert_eq!(Origin::read(&headers), Origin::default());
        for (name, value) in [
            ("x-forwarded-for", "192.0.2.1"),
            ("user-agent", "edge"),
            ("x-forwarded-user-agent", &"x".repeat(300)),
            ("x-request-id", "one"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let origin = Origin::read(&headers);
        assert_eq!((origin.address, origin.request_id.as_str()), ("192.0.2.1".parse().ok(), "one"));
        assert_eq!(origin.user_agent, "x".repeat(256));
    }

    #[test]
    fn what_is_told_is_read_and_replaces_what_was_said() {
        let mut headers = HeaderMap::new();
        for said in ["192.0.2.1", "192.0.2.2"] {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(said));
        }
        let address = "2001:db8::1".parse().unwrap();
        tell(&mut headers, Some(address));
        assert_eq!((of(&headers), headers.len()), (Some(address), 1));
        tell(&mut headers, None);
        assert_eq!(of(&headers), None);
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.1, 192.0.2.2"));
        assert_eq!(of(&headers), None, "one address, or none");
    }
}
