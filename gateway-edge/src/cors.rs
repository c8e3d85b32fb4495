//! Which pages of other origins may call (Fetch Standard, "CORS protocol").

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use serde::{Deserialize, Serialize};

use crate::body::Body;

const YES: HeaderValue = HeaderValue::from_static("true");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// What pages may read beside what every page may: all that answers say. Browsers take no wildcard with credentials.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "allow, content-disposition, etag, location, retry-after, retry-after-ms, x-request-id, idempotent-replayed, \
     x-budget-limit, x-budget-total, x-budget-remaining, x-budget-warning, x-budget-exceeded, x-headgate-output-cap",
);
/// How long a browser may remember what it was told, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// Which pages may call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Origins whose pages may call, with the cookies of a session too: `https://console.example.com`. Default none,
    /// so that only pages of this gateway's own host do.
    pub allowed_origins: Vec<String>,
}

impl Cors {
    /// What is wrong with it.
    pub(crate) fn problem(&self) -> Option<String> {
        let wrong = self.allowed_origins.iter().find(|origin| !is_origin(origin))?;
        Some(format!(
            "`{wrong}` is no origin: give scheme and host as browsers do, e.g. https://console.example.com"
        ))
    }

    /// Whether pages of an origin may call.
    pub(crate) fn allows(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed == origin)
    }

    /// Whether a request only asks whether a page may call, and it may.
    pub(crate) fn is_preflight(&self, head: &Parts) -> bool {
        head.method == Method::OPTIONS
            && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
            && self.origin(&head.headers).is_some()
    }

    /// The answer to such a request.
    pub(crate) fn preflight(headers: &HeaderMap) -> Response<Body> {
        let mut answer = Response::new(Body::Whole(Bytes::new()));
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let said = answer.headers_mut();
        said.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        said.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            said.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        answer
    }

    /// Lets the page that asked read the answer, if it may.
    pub(crate) fn open(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        if self.allowed_origins.is_empty() {
            return;
        }
        answer.append(VARY, HeaderValue::from(ORIGIN));
        if let Some(origin) = self.origin(asked) {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, YES);
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }

    fn origin<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        headers.get(ORIGIN).filter(|origin| origin.to_str().is_ok_and(|origin| self.allows(origin)))
    }
}

/// Whether a text is an origin in the form that browsers send.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let place = uri.authority().map(http::uri::Authority::as_str);
    let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    web && lower && place.is_some_and(|place| !place.contains('@') && text.ends_with(&format!("://{place}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The response headers in the table of docs/API.md, where `-b` after `x-y-a` stands for `x-y-b`.
    fn documented() -> BTreeSet<String> {
        let text = include_str!("../../docs/API.md");
        let rows = text.lines().skip_while(|line| !line.starts_with("| response header")).skip(2);
        let mut names = BTreeSet::new();
        for row in rows.take_while(|line| line.starts_with('|')) {
            let cell = row.split('|').nth(1).unwrap();
            let mut family = String::new();
            for name in cell.split('`').skip(1).step_by(2) {
                let whole = if name.starts_with('-') { format!("{family}{name}") } else { name.to_owned() };
                family = whole.rsplit_once('-').map(|(family, _)| family.to_owned()).unwrap_or_default();
                names.insert(whole);
            }
        }
        names
    }

    #[test]
    fn pages_may_read_what_is_documented_and_what_http_itself_has() {
        let exposed: BTreeSet<_> = EXPOSED.to_str().unwrap().split(", ").map(str::to_owned).collect();
        let mut expected = documented();
        assert!(expected.contains("x-budget-warning") && expected.len() > 7, "{expected:?}");
        expected.extend(["allow", "content-disposition", "etag", "location"].map(str::to_owned));
        assert_eq!(exposed, expected);
    }

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        let problem = |origin: &str| Cors { allowed_origins: vec![origin.to_owned()] }.problem();
        for good in ["https://console.example.com", "http://localhost:5173", "https://[::1]:8443"] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "*",
            "null",
            "",
            "console.example.com",
            "https://a/",
            "https://a/b",
            "https://A",
            "ftp://a",
            "https://u@a",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
