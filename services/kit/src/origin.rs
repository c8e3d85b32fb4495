//! Where a request comes from, as services tell each other.
//!
//! The edge knows its client's address, and the gRPC listener whoever connected. Either writes it over whatever the
//! client said itself, so a service behind them may believe it.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The metadata that carries the client's address.
pub const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

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
