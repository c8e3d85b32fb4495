//! `GET /docs`: a page that shows the OpenAPI document and tries calls. It loads nothing from elsewhere.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use http::{HeaderValue, Response};

use crate::body::Body;
use crate::service::whole;

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const SCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const STYLE: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
/// Nothing but the page's own parts, its empty icon, and calls of this gateway.
const OWN_PARTS_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// The page.
pub(crate) fn page() -> Response<Body> {
    part(HTML, include_str!("docs/page.html"))
}

/// What it runs.
pub(crate) fn script() -> Response<Body> {
    // Each part knows those before it; together they are one script.
    const PARTS: &str = concat!(
        include_str!("docs/page/schemas.js"),
        include_str!("docs/page/trial.js"),
        include_str!("docs/page/start.js"),
        include_str!("docs/page/page.js"),
    );
    part(SCRIPT, PARTS)
}

/// How it looks.
pub(crate) fn style() -> Response<Body> {
    part(STYLE, include_str!("docs/page.css"))
}

fn part(content_type: HeaderValue, text: &'static str) -> Response<Body> {
    let mut response = whole(content_type, Bytes::from_static(text.as_bytes()));
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, OWN_PARTS_ONLY);
    response.headers_mut().insert(CACHE_CONTROL, REVALIDATE);
    response
}
