//! What an answer says to HTTP, and what HTTP says with a request: by metadata that the edge translates.

use headgate_kit::Failure;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::Response;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use crate::people::Issued;

/// The status of the HTTP answer, where it is not 200.
const STATUS: &str = "x-headgate-http-status";
const ACCESS_COOKIE: &str = "headgate_access";
const REFRESH_COOKIE: &str = "headgate_refresh";
const LOGIN_COOKIE: &str = "headgate_login";

/// An answer that made something.
pub(super) fn created<T>(message: T) -> Response<T> {
    with_status(message, "201")
}

/// An answer that has nothing to say.
pub(super) fn no_content<T>(message: T) -> Response<T> {
    with_status(message, "204")
}

/// An answer that sends a browser on.
pub(super) fn redirect<T>(message: T, to: &str) -> Result<Response<T>, Failure> {
    let mut response = with_status(message, "302");
    response.metadata_mut().insert("location", to.parse().map_err(Failure::internal)?);
    Ok(response)
}

fn with_status<T>(message: T, status: &'static str) -> Response<T> {
    let mut response = Response::new(message);
    response.metadata_mut().insert(STATUS, MetadataValue::from_static(status));
    response
}

/// The refresh token: as the message has it, or else as the cookie has it.
pub(super) fn refresh_token(metadata: &MetadataMap, in_message: String) -> Option<String> {
    let token = if in_message.is_empty() { cookie(metadata, REFRESH_COOKIE) } else { Some(in_message) };
    token.filter(|token| !token.is_empty())
}

/// What a browser kept while it was away to log in.
pub(super) fn login_cookie(metadata: &MetadataMap) -> Option<String> {
    cookie(metadata, LOGIN_COOKIE).filter(|token| !token.is_empty())
}

/// Has a browser keep that for so many seconds.
pub(super) fn keep_login<T>(
    response: &mut Response<T>,
    token: &SecretString,
    max_age: i64,
    secure: bool,
) -> Result<(), Failure> {
    set_cookie(response, LOGIN_COOKIE, token.expose_secret(), max_age, secure)
}

/// Has it forget that.
pub(super) fn forget_login<T>(response: &mut Response<T>, secure: bool) -> Result<(), Failure> {
    set_cookie(response, LOGIN_COOKIE, "", 0, secure)
}

fn cookie(metadata: &MetadataMap, name: &str) -> Option<String> {
    let lines = metadata.get_all("cookie").iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// Has a browser keep what a session is used with.
pub(super) fn set_cookies<T>(
    response: &mut Response<T>,
    issued: &Issued,
    secure: bool,
    now_ms: i64,
) -> Result<(), Failure> {
    let seconds = |until_ms: i64| (until_ms - now_ms).max(0) / 1000;
    let access = (ACCESS_COOKIE, issued.access_token.expose_secret(), seconds(issued.access_expires_ms));
    let refresh = (REFRESH_COOKIE, issued.refresh_token.expose_secret(), seconds(issued.refresh_expires_ms));
    for (name, value, max_age) in [access, refresh] {
        set_cookie(response, name, value, max_age, secure)?;
    }
    Ok(())
}

/// Has a browser forget it.
pub(super) fn clear_cookies<T>(response: &mut Response<T>, secure: bool) -> Result<(), Failure> {
    [ACCESS_COOKIE, REFRESH_COOKIE].into_iter().try_for_each(|name| set_cookie(response, name, "", 0, secure))
}

fn set_cookie<T>(
    response: &mut Response<T>,
    name: &str,
    value: &str,
    max_age: i64,
    secure: bool,
) -> Result<(), Failure> {
    let secure = if secure { "; Secure" } else { "" };
    let line = format!("{name}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}");
    // Tokens are base64url, so this holds.
    let mut line: MetadataValue<Ascii> = line.parse().map_err(Failure::internal)?;
    line.set_sensitive(true);
    response.metadata_mut().append("set-cookie", line);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refresh_token_is_the_messages_or_the_cookies() {
        let mut metadata = MetadataMap::new();
        assert_eq!(refresh_token(&metadata, String::new()), None);
        metadata.append("cookie", "a=b; headgate_refreshed=x".parse().unwrap());
        metadata.append("cookie", "headgate_access=y;headgate_refresh=abc".parse().unwrap());
        assert_eq!(refresh_token(&metadata, String::new()).as_deref(), Some("abc"));
        assert_eq!(refresh_token(&metadata, "def".into()).as_deref(), Some("def"));
        let empty = MetadataMap::from_headers(
            [("cookie".parse().unwrap(), "headgate_refresh=".parse().unwrap())].into_iter().collect(),
        );
        assert_eq!(refresh_token(&empty, String::new()), None);
    }
}
