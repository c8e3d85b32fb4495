//! Reads request bodies, bounded in size and time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::error::Refusal;

/// A body's declared length is trusted with this much memory before its bytes are there.
const RESERVE_AT_MOST: usize = 1 << 20;
/// As much of a body is read of anyone. Whoever wants more of it held has to be known.
const FROM_ANYONE: usize = 256 << 10;

/// Refuses bodies that say they are something else than JSON.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(given) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = given.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
    if essence.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    Err(Failure::new(ErrorReason::InvalidRequest, "content-type must be application/json"))
}

/// Refuses bodies of calls that say they are something else than JSON in UTF-8, as it is: nothing is unpacked or
/// recoded, and what happens to look plain is not what the client meant.
pub(crate) fn require_plain_json(headers: &HeaderMap) -> Result<(), Refusal> {
    if require_json(headers).is_err() || names_another_charset(headers) {
        return Err(Refusal::unsupported_media("content-type must be application/json, in UTF-8"));
    }
    let encoded = headers.get_all(CONTENT_ENCODING).iter();
    match encoded
        .map(|given| given.as_bytes().trim_ascii())
        .all(|given| given.eq_ignore_ascii_case(b"identity"))
    {
        true => Ok(()),
        false => {
            Err(Refusal::unsupported_media("content-encoding must be left out: bodies are sent as they are"))
        }
    }
}

fn names_another_charset(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let parameters = given.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut charsets = parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charsets.any(|(_, charset)| !charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8"))
}

/// The whole body, if it has at most `limit` bytes and arrives within `patience`. `introduce` is asked who the client
/// is before much of a large body is read, and not at all for another.
pub(crate) async fn whole<I: Future<Output = Result<(), Refusal>>>(
    body: &mut Incoming,
    limit: usize,
    patience: Duration,
    introduce: impl FnOnce() -> I,
) -> Result<Bytes, Refusal> {
    // The timer costs nothing while the bytes are there already.
    tokio::time::timeout(patience, collect(body, limit, introduce)).await.unwrap_or_else(|_| {
        Err(Failure::new(ErrorReason::InvalidRequest, "the request body did not arrive in time").into())
    })
}

async fn collect<I: Future<Output = Result<(), Refusal>>>(
    body: &mut Incoming,
    limit: usize,
    introduce: impl FnOnce() -> I,
) -> Result<Bytes, Refusal> {
    let mut stranger = Some(introduce);
    if body.size_hint().lower() > FROM_ANYONE as u64
        && let Some(introduce) = stranger.take()
    {
        introduce().await?;
    }
    let Some(first) = next(body, limit).await? else { return Ok(Bytes::new()) };
    if body.is_end_stream() {
        return Ok(first);
    }
    let expected = first.len().saturating_add(usize::try_from(body.size_hint().lower()).unwrap_or(0));
    let mut whole = BytesMut::with_capacity(expected.min(RESERVE_AT_MOST));
    whole.extend_from_slice(&first);
    loop {
        if whole.len() > FROM_ANYONE
            && let Some(introduce) = stranger.take()
        {
            introduce().await?;
        }
        let Some(data) = next(body, limit - whole.len()).await? else { break };
        whole.extend_from_slice(&data);
        if body.is_end_stream() {
            break;
        }
    }
    Ok(whole.freeze())
}

/// The next piece of data, which may have `room` bytes.
async fn next(body: &mut Incoming, room: usize) -> Result<Option<Bytes>, Failure> {
    loop {
        let Some(frame) = body.frame().await else { return Ok(None) };
        let broken = |_| Failure::new(ErrorReason::InvalidRequest, "the request body broke off");
        // Trailers mean nothing to us.
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if data.len() > room {
            return Err(too_large());
        }
        return Ok(Some(data));
    }
}

pub(crate) fn too_large() -> Failure {
    Failure::new(ErrorReason::RequestTooLarge, "the request body is larger than this gateway accepts")
}

/// Reads on after a refusal, for a moment and up to `limit` bytes: a client that is still writing would otherwise
/// meet a reset connection and never see why.
pub(crate) async fn discard(mut body: Incoming, limit: usize, patience: Duration) {
    let read = async {
        let mut room = limit;
        while let Ok(Some(data)) = next(&mut body, room).await {
            room -= data.len();
        }
    };
    // Either way there is nothing left to do for this client.
    let _ = tokio::time::timeout(patience, read).await;
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn json_is_known_by_its_essence() {
        let accepted = |value: &'static str| {
            require_json(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))])).is_ok()
        };
        assert!(accepted("application/json") && accepted("Application/JSON ; charset=utf-8"));
        assert!(
            !accepted("application/x-www-form-urlencoded") && !accepted("") && !accepted("application/jsonp")
        );
        assert!(require_json(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn plain_json_is_neither_packed_nor_in_another_charset() {
        let accepted = |headers: &[(HeaderName, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
            require_plain_json(&headers.collect()).is_ok()
        };
        for good in
            ["application/json", "application/json;charset=UTF-8", "application/json; charset=\"utf-8\""]
        {
            assert!(accepted(&[(CONTENT_TYPE, good), (CONTENT_ENCODING, "identity")]), "{good}");
        }
        for bad in
            ["text/plain", "application/json; charset=utf-16", "application/json; a=b; Charset=latin1", ""]
        {
            assert!(!accepted(&[(CONTENT_TYPE, bad)]), "{bad}");
        }
        for bad in ["gzip", "identity, gzip", "br", ""] {
            assert!(!accepted(&[(CONTENT_ENCODING, bad)]), "{bad}");
        }
        assert!(accepted(&[]));
    }
}
