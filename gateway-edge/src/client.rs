//! Who is at the other end of a request, as far as addresses can tell.

use std::net::{IpAddr, SocketAddr};

use headgate_kit::network::Network;
use headgate_kit::origin::X_FORWARDED_FOR;
use http::HeaderMap;
use http::header::FORWARDED;
use serde::{Deserialize, Serialize};

/// Which header says whom a proxy speaks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies that are believed, and how they tell whom they speak for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proxies<'a> {
    pub(crate) trusted: &'a [Network],
    pub(crate) header: ForwardedHeader,
}

impl Proxies<'_> {
    /// The client's address: the one that connected, unless it is a trusted proxy's. Then it is the last one on the way
    /// here that is none, as every proxy adds whom it heard; what stands before that may be made up.
    pub(crate) fn client(self, connected: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = connected;
        if !self.trusts(client) {
            return client;
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
            ForwardedHeader::Forwarded => FORWARDED,
        };
        let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let named = match self.header {
                ForwardedHeader::XForwardedFor => Some(hop),
                ForwardedHeader::Forwarded => forwarded_for(hop),
            };
            let Some(address) = named.and_then(address) else { break };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<&str> {
    let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let named = pairs.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("for"));
    named.map(|(_, node)| node.trim_matches('"'))
}

/// An address, with or without a port, with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let address = text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip())).or_else(bare)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(header: ForwardedHeader, connected: &str, lines: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"].map(|text| text.parse().unwrap());
        let name = match header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_static(line));
        }
        Proxies { trusted: &trusted, header }.client(connected.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_stranger_is_who_it_is_whatever_it_says() {
        let lines = ["192.0.2.1"];
        assert_eq!(client(ForwardedHeader::XForwardedFor, "198.51.100.1", &lines), "198.51.100.1");
        assert_eq!(client(ForwardedHeader::XForwardedFor, "2001:db9::1", &lines), "2001:db9::1");
        assert_eq!(client(ForwardedHeader::XForwardedFor, "127.0.0.2", &lines), "127.0.0.2");
    }

    #[test]
    fn a_proxy_is_believed_and_what_stands_before_a_stranger_is_not() {
        let of = |connected, lines: &[&'static str]| client(ForwardedHeader::XForwardedFor, connected, lines);
        assert_eq!(of("10.1.2.3", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(of("::ffff:10.1.2.3", &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(of("2001:db8::1", &["192.0.2.1:4711, 127.0.0.1"]), "192.0.2.1");
        assert_eq!(of("10.1.2.3", &["203.0.113.9, 192.0.2.1,10.4.4.4"]), "192.0.2.1");
        assert_eq!(of("10.1.2.3", &["203.0.113.9", "192.0.2.1", "10.4.4.4"]), "192.0.2.1");
        assert_eq!(of("10.1.2.3", &["10.5.5.5, 10.4.4.4"]), "10.5.5.5", "nobody but proxies");
        assert_eq!(of("10.1.2.3", &[]), "10.1.2.3");
        assert_eq!(of("10.1.2.3", &["192.0.2.1, unknown, 10.4.4.4"]), "10.4.4.4");
    }

    #[test]
    fn the_standard_header_is_read_as_it_is_written() {
        let of = |lines: &[&'static str]| client(ForwardedHeader::Forwarded, "10.1.2.3", lines);
        assert_eq!(of(&["for=192.0.2.1;proto=https, For=\"10.4.4.4:80\";by=10.1.2.3"]), "192.0.2.1");
        assert_eq!(of(&["proto=https; for=\"[2001:db9::7]:4711\""]), "2001:db9::7");
        assert_eq!(of(&["for=\"[2001:db9::7]\""]), "2001:db9::7");
        assert_eq!(of(&["for=_hidden"]), "10.1.2.3");
    }
}
