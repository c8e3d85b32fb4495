//! The head of a request as it is sent.

use std::io::Write as _;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::request::Parts;

/// The request line and the header fields, for a body of so many bytes (RFC 9112, sections 3 and 5).
pub(super) fn head(parts: &Parts, body_bytes: usize) -> Bytes {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let fields = || {
        let own = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];
        parts.headers.iter().filter(move |(name, _)| !own.contains(name))
    };
    let length: usize = fields().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let mut head = Vec::with_capacity(64 + path.len() + length);
    for text in [parts.method.as_str(), " ", path, " HTTP/1.1\r\n"] {
        head.extend_from_slice(text.as_bytes());
    }
    for (name, value) in fields() {
        for bytes in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(bytes);
        }
    }
    // Writing to memory cannot fail.
    let _ = write!(head, "content-length: {body_bytes}\r\n\r\n");
    head.into()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_length_is_the_bodys_whatever_the_fields_say() {
        let request = Request::post("/v1/chat?a=b")
            .header("host", "h:1")
            .header("x-twice", "1")
            .header("x-twice", "2")
            .header("Content-Length", "999")
            .header("transfer-encoding", "chunked")
            .header("connection", "close")
            .body(())
            .unwrap();
        let head = head(&request.into_parts().0, 7);
        let expected = "POST /v1/chat?a=b HTTP/1.1\r\nhost: h:1\r\nx-twice: 1\r\nx-twice: 2\r\n\
                        content-length: 7\r\n\r\n";
        assert_eq!(head, expected);
    }
}
