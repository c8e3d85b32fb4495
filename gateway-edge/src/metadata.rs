//! What passes between HTTP headers and gRPC metadata.

use std::net::IpAddr;

use headgate_kit::origin::{self, X_FORWARDED_FOR};
use headgate_kit::request_id::{RequestId, X_REQUEST_ID};
use headgate_kit::strangers::{X_KNOWN_ONLY, claim_of};
use http::header::{AUTHORIZATION, COOKIE, USER_AGENT};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use tonic::metadata::MetadataMap;

use crate::cookies;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// What the client says that it is: at most so many bytes of it.
const X_FORWARDED_USER_AGENT: HeaderName = HeaderName::from_static("x-forwarded-user-agent");
const USER_AGENT_BYTES: usize = 256;
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// What may carry a credential: the first that is given does.
const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, X_API_KEY, API_KEY];
/// Response metadata that clients may see begins with `x-` and one of these.
const PUBLIC_PREFIXES: [&str; 3] = ["budget-", "ratelimit-", "headgate-"];
/// The most that a call carries.
const REQUEST_HEADERS: usize = 5;

/// A call that says as much of the client as the router may know.
pub(crate) fn request<T>(headers: &HeaderMap, request_id: &RequestId, message: T) -> tonic::Request<T> {
    let metadata = MetadataMap::from_headers(carried(headers, request_id));
    tonic::Request::from_parts(metadata, Extensions::new(), message)
}

/// What other services may know of a client: the same, its address, the cookies that renew its session and finish its
/// login, and what it says that it is.
pub(crate) fn of_client(headers: &HeaderMap, request_id: &RequestId, address: IpAddr) -> HeaderMap {
    let mut metadata = carried(headers, request_id);
    origin::tell(&mut metadata, Some(address));
    if let Some(session) = cookies::of_logins(headers) {
        metadata.insert(COOKIE, session);
    }
    let agent = headers.get(USER_AGENT).filter(|agent| agent.to_str().is_ok());
    if let Some(agent) = agent.and_then(|agent| {
        let bytes = agent.as_bytes();
        HeaderValue::from_bytes(&bytes[..bytes.len().min(USER_AGENT_BYTES)]).ok()
    }) {
        metadata.insert(X_FORWARDED_USER_AGENT, agent);
    }
    metadata
}

fn carried(headers: &HeaderMap, request_id: &RequestId) -> HeaderMap {
    let mut metadata = HeaderMap::with_capacity(REQUEST_HEADERS);
    metadata.insert(X_REQUEST_ID, request_id.header());
    if let Some(credential) = credential(headers) {
        metadata.insert(AUTHORIZATION, credential);
    }
    for name in [IDEMPOTENCY_KEY, X_KNOWN_ONLY, X_FORWARDED_FOR] {
        if let Some(value) = headers.get(&name) {
            metadata.insert(name, value.clone());
        }
    }
    metadata
}

/// Whether a client says who it is by itself, which no page elsewhere has a browser do unasked.
pub(crate) fn has_credential(headers: &HeaderMap) -> bool {
    CREDENTIALS.iter().any(|name| headers.contains_key(name))
}

/// `authorization` as given, or else the key that other SDKs send bare.
fn credential(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut credential = match headers.get(AUTHORIZATION) {
        Some(given) => given.clone(),
        None => {
            let key = headers.get(X_API_KEY).or_else(|| headers.get(API_KEY))?;
            HeaderValue::from_bytes(&[b"Bearer ", key.as_bytes()].concat()).ok()?
        }
    };
    credential.set_sensitive(true);
    Some(credential)
}

/// What a client's credential says openly of whose it is; `None` without any.
pub(crate) fn claim(headers: &HeaderMap) -> Option<&[u8]> {
    let given = CREDENTIALS.iter().find_map(|name| headers.get(name))?;
    Some(claim_of(given.as_bytes()))
}

/// Copies what clients may see of response metadata.
pub(crate) fn copy_public(metadata: &MetadataMap, headers: &mut HeaderMap) {
    headers.reserve(metadata.len());
    for (name, value) in metadata.as_ref() {
        if is_public(name) {
            headers.append(name.clone(), value.clone());
        }
    }
}

fn is_public(name: &HeaderName) -> bool {
    match name.as_str().strip_prefix("x-") {
        Some(rest) => PUBLIC_PREFIXES.iter().any(|prefix| rest.starts_with(prefix)),
        None => *name == IDEMPOTENT_REPLAYED,
    }
}

#[cfg(test)]
mod tests {
    use headgate_kit::clock::Clock;

    use super::*;

    fn sent(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let headers = HeaderMap::from_iter(
            headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))),
        );
        let id = RequestId::of(&headers, &Clock::manual(0));
        request(&headers, &id, ()).into_parts().0.into_headers()
    }

    #[test]
    fn only_what_the_router_needs_is_carried() {
        let sent = [
            ("authorization", "Bearer sk-a.b"),
            ("x-request-id", "r-1"),
            ("idempotency-key", "k"),
            // The connection's to tell, with this process as the parent.
            ("traceparent", "00-1-2-01"),
            ("tracestate", "a=1"),
            ("cookie", "session=1"),
            ("grpc-timeout", "1n"),
        ];
        let carried = super::tests::sent(&sent);
        assert_eq!(carried.len(), 3);
        for (name, value) in &sent[..3] {
            assert_eq!(carried[*name], *value);
        }
        assert!(carried["authorization"].is_sensitive());
    }

    #[test]
    fn whatever_carries_the_key_carries_its_claim() {
        let claimed = |name: &'static str, value: &'static str| {
            let value = HeaderValue::from_static(value);
            claim(&HeaderMap::from_iter([(HeaderName::from_static(name), value)])).map(<[u8]>::to_vec)
        };
        assert_eq!(claimed("authorization", "Bearer sk-a.b").as_deref(), Some(&b"sk-a"[..]));
        assert_eq!(claimed("x-api-key", "sk-a.b").as_deref(), Some(&b"sk-a"[..]));
        assert_eq!(claimed("api-key", "token").as_deref(), Some(&b""[..]));
        assert_eq!(claimed("cookie", "sk-a.b"), None);
    }

    #[test]
    fn clients_see_what_is_meant_for_them_and_nothing_else() {
        let said = [
            ("x-budget-limit", "1.00"),
            ("x-ratelimit-remaining", "7"),
            ("x-headgate-output-cap", "12"),
            ("idempotent-replayed", "true"),
            ("x-budget", "no prefix"),
            ("budget-limit", "no x"),
            ("x-request-id", "the edge says it itself"),
            ("x-other-budget-", "not at the beginning"),
            ("grpc-status", "0"),
            ("content-type", "application/grpc"),
        ];
        let said = HeaderMap::from_iter(
            said.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))),
        );
        let mut said = MetadataMap::from_headers(said);
        said.append("x-headgate-output-cap", "13".parse().unwrap());
        let mut headers = HeaderMap::new();
        copy_public(&said, &mut headers);
        let mut seen: Vec<_> =
            headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap_or_default())).collect();
        seen.sort_unstable();
        let expected = [
            ("idempotent-replayed", "true"),
            ("x-budget-limit", "1.00"),
            ("x-headgate-output-cap", "12"),
            ("x-headgate-output-cap", "13"),
            ("x-ratelimit-remaining", "7"),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn bare_keys_become_bearer_tokens_unless_authorization_is_given() {
        assert_eq!(sent(&[("x-api-key", "sk-a.b")])["authorization"], "Bearer sk-a.b");
        assert_eq!(sent(&[("api-key", "sk-a.b")])["authorization"], "Bearer sk-a.b");
        assert_eq!(sent(&[("api-key", "x"), ("authorization", "Bearer y")])["authorization"], "Bearer y");
        assert!(!sent(&[]).contains_key("authorization"));
    }
}
