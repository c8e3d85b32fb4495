//! Where the body of an answer ends, and what of the bytes read belongs to it (RFC 9112, sections 6 and 7).

use bytes::{Buf as _, Bytes, BytesMut};
use httparse::Status;

use crate::driver::broken::Broken;

/// The most bytes of a chunk's size with its extensions.
const MAX_SIZE_LINE: usize = 4 * 1024;
/// The most bytes of all trailers together.
const MAX_TRAILERS: usize = 16 * 1024;

/// What of the body comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nothing.
    Done,
    /// So many bytes, at least one.
    Length(u64),
    /// Whatever comes before the connection closes.
    UntilClosed,
    /// A chunk's size.
    ChunkSize,
    /// So many bytes of a chunk, at least one.
    Chunk(u64),
    /// The line break after a chunk.
    ChunkEnd,
    /// After so many bytes of trailers, another or the line break that ends the body.
    Trailers(usize),
}

impl Framing {
    /// A body of so many bytes.
    pub(super) fn length(bytes: u64) -> Self {
        if bytes == 0 { Self::Done } else { Self::Length(bytes) }
    }

    /// The least bytes that are still to come.
    pub(super) fn least(self) -> u64 {
        match self {
            Self::Length(bytes) | Self::Chunk(bytes) => bytes,
            _ => 0,
        }
    }

    /// Takes the body's next bytes off what was read. `None` when more must be read, or none is to come. Trailers are
    /// left out.
    pub(super) fn take(&mut self, read: &mut BytesMut) -> Result<Option<Bytes>, Broken> {
        loop {
            match *self {
                Self::Done => return Ok(None),
                Self::UntilClosed => return Ok(part(read, u64::MAX).map(|(data, _)| data)),
                Self::Length(left) => return Ok(self.data(read, left, Self::length)),
                Self::Chunk(left) => {
                    return Ok(self.data(read, left, |left| match left {
                        0 => Self::ChunkEnd,
                        left => Self::Chunk(left),
                    }));
                }
                Self::ChunkEnd => match line(read, 2)? {
                    Some([]) => {
                        read.advance(2);
                        *self = Self::ChunkSize;
                    }
                    Some(_) => return Err(Broken::Invalid("a chunk longer than it said")),
                    None => return Ok(None),
                },
                Self::ChunkSize => match chunk_size(read)? {
                    Some(0) => *self = Self::Trailers(0),
                    Some(bytes) => *self = Self::Chunk(bytes),
                    None => return Ok(None),
                },
                Self::Trailers(seen) => match line(read, MAX_TRAILERS.saturating_sub(seen))? {
                    Some([]) => {
                        read.advance(2);
                        *self = Self::Done;
                    }
                    Some(trailer) => {
                        let bytes = trailer.len() + 2;
                        read.advance(bytes);
                        *self = Self::Trailers(seen + bytes);
                    }
                    None => return Ok(None),
                },
            }
        }
    }

    fn data(&mut self, read: &mut BytesMut, left: u64, then: impl FnOnce(u64) -> Self) -> Option<Bytes> {
        let (data, bytes) = part(read, left)?;
        *self = then(left - bytes);
        Some(data)
    }
}

/// At most so many of the bytes read, and how many they are; never none.
fn part(read: &mut BytesMut, most: u64) -> Option<(Bytes, u64)> {
    let bytes = most.min(read.len() as u64);
    // No more than were read.
    let data = read.split_to(usize::try_from(bytes).ok()?);
    (!data.is_empty()).then(|| (data.freeze(), bytes))
}

/// The line that was read, without its break, if all of it was; it has at most so many bytes with it.
fn line(read: &BytesMut, most: usize) -> Result<Option<&[u8]>, Broken> {
    match read.iter().take(most).position(|byte| *byte == b'\n') {
        Some(end) => match read[..end].split_last() {
            Some((b'\r', line)) => Ok(Some(line)),
            _ => Err(Broken::Invalid("a line that ends in no line break")),
        },
        None if read.len() >= most => Err(Broken::Invalid("a line beyond its bound")),
        None => Ok(None),
    }
}

fn chunk_size(read: &mut BytesMut) -> Result<Option<u64>, Broken> {
    let invalid = Err(Broken::Invalid("a malformed chunk size"));
    match read.first() {
        None => return Ok(None),
        // The parser takes no digits for a zero.
        Some(first) if !first.is_ascii_hexdigit() => return invalid,
        Some(_) => {}
    }
    match httparse::parse_chunk_size(read) {
        Ok(Status::Complete((bytes, size))) => {
            read.advance(bytes);
            Ok(Some(size))
        }
        Ok(Status::Partial) if read.len() <= MAX_SIZE_LINE => Ok(None),
        _ => invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, and what is left after it. `None` when it is not complete.
    fn body(mut framing: Framing, reads: &[&str]) -> Result<Option<(String, String)>, Broken> {
        let (mut body, mut read) = (Vec::new(), BytesMut::new());
        for bytes in reads {
            read.extend_from_slice(bytes.as_bytes());
            while let Some(data) = framing.take(&mut read)? {
                assert!(!data.is_empty());
                body.extend_from_slice(&data);
            }
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((framing == Framing::Done).then(|| (text(&body), text(&read))))
    }

    #[test]
    fn chunks_are_put_together_however_they_are_cut() {
        let text =
            "5\r\nhello\r\n00B;x=\"y\"\r\n, chunked w\r\n4 \r\norld\r\n0\r\nx-sum: 1\r\ny: 2\r\n\r\nHTTP";
        let expected = Some(("hello, chunked world".to_owned(), "HTTP".to_owned()));
        assert_eq!(body(Framing::ChunkSize, &[text]).unwrap(), expected);
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);
            assert_eq!(body(Framing::ChunkSize, &[first, second]).unwrap(), expected, "{cut}");
        }
        let bytes: Vec<_> = text.split_inclusive(|_| true).collect();
        assert_eq!(body(Framing::ChunkSize, &bytes).unwrap(), expected);
        assert_eq!(body(Framing::ChunkSize, &["5\r\nhello\r\n0\r\n"]).unwrap(), None);
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let long = format!("5;{}", "x".repeat(MAX_SIZE_LINE));
        let trailers = format!("0\r\n{}", "x: y\r\n".repeat(MAX_TRAILERS / 6 + 1));
        for text in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+5\r\n",
            " 5\r\n",
            "5\nhello",
            "5\rhello",
            "0x5\r\n",
            "5 5\r\n",
            "11111111111111111\r\n",
            "5\r\nhelloo\r\n",
            "5\r\nhello\n0",
            "5\r\nhello0\r\n",
            "0\r\nx\n\r\n",
            &long,
            &trailers,
        ] {
            assert!(body(Framing::ChunkSize, &[text]).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_length_is_kept_and_an_end_without_one_is_left_to_the_connection() {
        let ended = |text: &str, rest: &str| Some((text.to_owned(), rest.to_owned()));
        assert_eq!(body(Framing::length(5), &["he", "lloHTTP"]).unwrap(), ended("hello", "HTTP"));
        assert_eq!(body(Framing::length(5), &["hell"]).unwrap(), None);
        assert_eq!(body(Framing::length(0), &["x"]).unwrap(), ended("", "x"));
        assert_eq!(body(Framing::UntilClosed, &["hello"]).unwrap(), None);
    }
}
