//! Sessions of browsers: cookies where other clients present a token, and who may make use of them.

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::cors::Cors;
use crate::metadata;

/// The cookie that stands for `authorization`.
pub(crate) const ACCESS: &str = "headgate_access";
/// The cookie that renews a session.
const REFRESH: &str = "headgate_refresh";
/// The cookie of who is away to log in elsewhere.
const LOGIN: &str = "headgate_login";
/// Where the page comes from that asks, as browsers say it (Fetch Metadata Request Headers).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Puts the cookie of a session in place of a credential that is not given, once the page that asks may use it.
///
/// A page elsewhere can have a browser send cookies, but neither a header of its choice nor a lie about its origin. So
/// what changes something and is nobody's but by cookie has to come from here, or from an origin that is allowed.
///
/// # Errors
/// PERMISSION_DENIED where it does not, or does not say.
pub(crate) fn admit(head: &mut Parts, cors: &Cors) -> Result<(), Failure> {
    if metadata::has_credential(&head.headers) {
        return Ok(());
    }
    let access = cookie(&head.headers, ACCESS);
    let has_session = access.is_some() || cookie(&head.headers, REFRESH).is_some();
    if !head.method.is_safe() && !may_change(head, cors, has_session) {
        let text = "a page of another origin must not change anything with a browser's session";
        return Err(Failure::new(ErrorReason::PermissionDenied, text));
    }
    if let Some(mut bearer) = access.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok()) {
        bearer.set_sensitive(true);
        head.headers.insert(AUTHORIZATION, bearer);
    }
    Ok(())
}

fn may_change(head: &Parts, cors: &Cors, has_session: bool) -> bool {
    match head.headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"same-origin" | b"none") => return true,
        // Without a session, clients that are no browsers need not say anything.
        None if !has_session && !head.headers.contains_key(ORIGIN) => return true,
        _ => {}
    }
    let Some(origin) = head.headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()) else { return false };
    cors.allows(origin) || is_own(head, origin)
}

/// Whether an origin is the host that is asked. Its scheme is the proxy's that ends TLS, and is not known here.
fn is_own(head: &Parts, origin: &str) -> bool {
    let own = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = own.or_else(|| head.uri.authority().map(http::uri::Authority::as_str));
    let place = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    own.is_some() && place.zip(own).is_some_and(|(place, own)| place.eq_ignore_ascii_case(own))
}

/// What services are shown of the cookies: those that only the service of sessions can read.
pub(crate) fn of_logins(headers: &HeaderMap) -> Option<HeaderValue> {
    let pair = |name| Some(format!("{name}={}", cookie(headers, name)?));
    let pairs: Vec<_> = [REFRESH, LOGIN].into_iter().filter_map(pair).collect();
    let mut shown = HeaderValue::try_from(pairs.join("; ")).ok().filter(|shown| !shown.is_empty())?;
    shown.set_sensitive(true);
    Some(shown)
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(own, value)| *own == name && !value.is_empty()).map(|(_, value)| value)
}
