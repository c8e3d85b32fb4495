//! A browser without pages: it keeps cookies for each host, and goes where it is sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use http::Method;

use crate::http::{Client, Reply};

/// How often one is sent on at most.
const HOPS: usize = 20;

/// Somebody's browser.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// Where names lead. Others are addresses themselves.
    hosts: BTreeMap<String, SocketAddr>,
    cookies: BTreeMap<(String, String), String>,
}

/// Where following redirections ended.
pub struct Arrived {
    /// The address of the last page, or of the one where the browser stopped before it was asked for.
    pub url: String,
    /// `None` where it stopped.
    pub page: Option<Reply>,
}

impl Browser {
    /// The same browser, which knows where a name leads.
    #[must_use]
    pub fn knowing(mut self, host: &str, address: SocketAddr) -> Self {
        self.hosts.insert(host.to_owned(), address);
        self
    }

    /// Asks for a page, and goes nowhere from there.
    pub async fn get(&mut self, url: &str) -> Reply {
        self.send(Method::GET, url, "").await
    }

    /// Sends a form, and goes nowhere from there.
    pub async fn submit(&mut self, url: &str, form: &str) -> Reply {
        self.send(Method::POST, url, form).await
    }

    /// Goes where an answer sends it, and on from there, until there is a page or something of the host `stop`.
    ///
    /// # Panics
    /// When it is sent on without end.
    pub async fn follow(&mut self, mut url: String, mut reply: Reply, stop: &str) -> Arrived {
        for _ in 0..HOPS {
            let Some(location) = reply.header("location") else { return Arrived { url, page: Some(reply) } };
            let here = url.split('/').take(3).collect::<Vec<_>>().join("/");
            url = if location.starts_with('/') { format!("{here}{location}") } else { location.to_owned() };
            if split(&url).0 == stop {
                return Arrived { url, page: None };
            }
            reply = self.get(&url).await;
        }
        panic!("sent on without end, last to {url}");
    }

    /// The value of a host's cookie.
    #[must_use]
    pub fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.cookies.get(&(host.to_owned(), name.to_owned())).map(String::as_str)
    }

    async fn send(&mut self, method: Method, url: &str, form: &str) -> Reply {
        let (host, path) = split(url);
        let address = self.hosts.get(host).copied().unwrap_or_else(|| host.parse().expect("an address"));
        let own = self.cookies.iter().filter(|((at, _), _)| at == host);
        let cookies: Vec<_> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut client = Client::new(address).with_header("host", host);
        if !cookies.is_empty() {
            client = client.with_header("cookie", &cookies.join("; "));
        }
        let client = client.with_header("content-type", "application/x-www-form-urlencoded");
        let reply = client.send_raw(method, path, form.to_owned()).await;
        for line in reply.headers.get_all("set-cookie").iter().filter_map(|line| line.to_str().ok()) {
            let (name, value) =
                line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            let place = (host.to_owned(), name.to_owned());
            match value {
                "" => drop(self.cookies.remove(&place)),
                value => drop(self.cookies.insert(place, value.to_owned())),
            }
        }
        reply
    }
}

/// Host with port, and the rest.
fn split(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or((rest, "/"), |at| rest.split_at(at))
}
