//! The head of an answer as it comes.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use httparse::{ParserConfig, Status};

use super::framing::Framing;
use crate::driver::broken::Broken;

/// The most header fields that an answer may have.
const MAX_FIELDS: usize = 100;
/// The most bytes that an answer's head may have.
const MAX_BYTES: usize = 64 * 1024;

/// The head, and what it says of what follows.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) response: Response<()>,
    pub(super) framing: Framing,
    /// Whether another answer may follow this one's body.
    pub(super) keeps: bool,
}

/// Takes the head of the final answer off what was read; `None` as long as it is not complete. Answers before the
/// final one (RFC 9110, section 15.2) are passed over.
pub(super) fn head(read: &mut BytesMut) -> Result<Option<Head>, Broken> {
    while !read.is_empty() {
        let Some(response) = one(read)? else { break };
        match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => return Err(Broken::Invalid("another protocol")),
            status if status.is_informational() => {}
            _ => return described(response).map(Some),
        }
    }
    if read.len() > MAX_BYTES { Err(Broken::Invalid("too long a head")) } else { Ok(None) }
}

fn one(read: &mut BytesMut) -> Result<Option<Response<()>>, Broken> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut []);
    let status = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, read, &mut fields);
    let bytes = match status {
        Ok(Status::Complete(bytes)) => bytes,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(Broken::Invalid("a malformed head")),
    };
    let mut response = Response::new(());
    *response.version_mut() = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    *response.status_mut() = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| Broken::Invalid("a status out of range"))?;
    let begin = read.as_ptr().addr();
    let fields: Vec<_> = parsed
        .headers
        .iter()
        .map(|field| {
            let at = field.value.as_ptr().addr() - begin;
            (HeaderName::from_bytes(field.name.as_bytes()), at..at + field.value.len())
        })
        .collect();
    let head = read.split_to(bytes).freeze();
    response.headers_mut().reserve(fields.len());
    for (name, at) in fields {
        // The parts of the head are shared, not copied.
        let value = HeaderValue::from_maybe_shared(head.slice(at));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Broken::Invalid("a malformed header field"));
        };
        response.headers_mut().append(name, value);
    }
    Ok(Some(response))
}

fn described(response: Response<()>) -> Result<Head, Broken> {
    let headers = response.headers();
    let framing = framing(response.status(), response.version(), headers)?;
    let keeps = framing != Framing::UntilClosed
        && match response.version() {
            Version::HTTP_11 => !says(headers, &CONNECTION, "close"),
            _ => says(headers, &CONNECTION, "keep-alive"),
        };
    Ok(Head { response, framing, keeps })
}

/// How long the body is (RFC 9112, section 6.3, for the answer to a request that is neither HEAD nor CONNECT).
fn framing(status: StatusCode, version: Version, headers: &HeaderMap) -> Result<Framing, Broken> {
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Framing::Done);
    }
    let length = length(headers)?;
    let Some(coding) = headers.get_all(TRANSFER_ENCODING).iter().next_back() else {
        return Ok(length.map_or(Framing::UntilClosed, Framing::length));
    };
    // Both, or chunks in the old version: two readers could see two ends.
    if length.is_some() || version != Version::HTTP_11 {
        return Err(Broken::Invalid("an ambiguous length"));
    }
    let last = coding.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
    let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
    Ok(if chunked { Framing::ChunkSize } else { Framing::UntilClosed })
}

/// `content-length`, which may be said more than once, but not differently.
fn length(headers: &HeaderMap) -> Result<Option<u64>, Broken> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for said in value.as_bytes().split(|byte| *byte == b',') {
            let said = std::str::from_utf8(said.trim_ascii()).ok();
            let digits = said.filter(|said| said.bytes().all(|byte| byte.is_ascii_digit()));
            let said = digits.and_then(|digits| digits.parse().ok());
            if said.is_none() || length.is_some_and(|length| Some(length) != said) {
                return Err(Broken::Invalid("a malformed length"));
            }
            length = said;
        }
    }
    Ok(length)
}

fn says(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|said| said.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Head>, Broken> {
        head(&mut BytesMut::from(text))
    }

    fn told(fields: &str) -> Option<(Framing, bool)> {
        let head = read(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).ok()??;
        Some((head.framing, head.keeps))
    }

    #[test]
    fn a_head_is_taken_off_when_it_is_complete() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\n\
                    HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nX-A: 1\r\nx-a:  2 \r\ncontent-length: 4\r\n\r\nbody";
        for cut in 0..text.len() - 4 {
            let mut read = BytesMut::from(&text[..cut]);
            assert!(head(&mut read).unwrap().is_none(), "{cut}");
            read.extend_from_slice(&text.as_bytes()[cut..]);
            let head = head(&mut read).unwrap().unwrap();
            assert_eq!((head.response.status().as_u16(), &read[..]), (429, &b"body"[..]));
            let headers = head.response.headers();
            assert_eq!(headers["retry-after"], "7");
            assert_eq!(headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
            assert_eq!((head.framing, head.keeps), (Framing::length(4), true));
        }
    }

    #[test]
    fn the_fields_say_how_long_the_body_is_and_what_becomes_of_the_connection() {
        let (length, chunks) = (Framing::length, Framing::ChunkSize);
        let cases = [
            ("content-length: 0\r\n", Some((Framing::Done, true))),
            ("content-length: 7\r\ncontent-length: 7, 7\r\n", Some((length(7), true))),
            ("content-length: 7\r\nconnection: x, Close\r\n", Some((length(7), false))),
            ("transfer-encoding: chunked\r\n", Some((chunks, true))),
            ("transfer-encoding: gzip\r\ntransfer-encoding: x, Chunked \r\n", Some((chunks, true))),
            ("transfer-encoding: gzip\r\n", Some((Framing::UntilClosed, false))),
            ("", Some((Framing::UntilClosed, false))),
            ("content-length: 7\r\ncontent-length: 8\r\n", None),
            ("content-length: 7, 8\r\n", None),
            ("content-length: +7\r\n", None),
            ("content-length: \r\n", None),
            ("content-length: 18446744073709551616\r\n", None),
            ("content-length: 7\r\ntransfer-encoding: chunked\r\n", None),
            ("a b: c\r\n", None),
            ("a : c\r\n", None),
            ("a: b\r\n folded\r\n", None),
        ];
        for (fields, expected) in cases {
            assert_eq!(told(fields), expected, "{fields:?}");
        }
        assert_eq!(told(&"a: b\r\n".repeat(MAX_FIELDS)), Some((Framing::UntilClosed, false)));
        assert_eq!(told(&"a: b\r\n".repeat(MAX_FIELDS + 1)), None);
    }

    #[test]
    fn versions_and_statuses_are_those_of_http() {
        let keeps = |head: &str| Some(read(&format!("{head}\r\ncontent-length: 1\r\n\r\n")).ok()??.keeps);
        assert_eq!(keeps("HTTP/1.1 200"), Some(true));
        assert_eq!(keeps("HTTP/1.0 200 OK"), Some(false));
        assert_eq!(keeps("HTTP/1.0 200 OK\r\nconnection: Keep-Alive"), Some(true));
        for head in
            ["HTTP/1.1 101 Switching", "HTTP/2.0 200 OK", "HTTP/1.1 20 OK", "SSH-2.0-x", "HTTP/1.1 099 X"]
        {
            assert_eq!(keeps(head), None, "{head}");
        }
        let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(read(old).is_err());
        let none = read("HTTP/1.1 204 No\r\ncontent-length: 5\r\n\r\n").unwrap().unwrap();
        assert_eq!(none.framing, Framing::Done);
        assert!(read(&format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(MAX_BYTES))).is_err());
    }
}
