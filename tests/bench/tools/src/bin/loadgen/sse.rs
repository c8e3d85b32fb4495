//! Reading a stream, without I/O.

use headgate_bench_tools::stamp;

/// The lines of a stream as it comes, in pieces cut anywhere.
pub(crate) struct Reader {
    rest: Vec<u8>,
    /// Content chunks so far.
    pub(crate) chunks: u32,
    /// Whether `[DONE]` has come.
    pub(crate) done: bool,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { rest: Vec::with_capacity(4096), chunks: 0, done: false }
    }

    /// Takes the next piece; `on_chunk` gets the stamp of every content chunk that it completes.
    pub(crate) fn feed(&mut self, piece: &[u8], mut on_chunk: impl FnMut(u64)) {
        self.rest.extend_from_slice(piece);
        let mut start = 0;
        while let Some(length) = memchr::memchr(b'\n', &self.rest[start..]) {
            let line = &self.rest[start..start + length];
            start += length + 1;
            let Some(data) = line.strip_prefix(b"data:") else { continue };
            if data.trim_ascii() == b"[DONE]" {
                self.done = true;
            } else if let Some(sent) = stamp::find(data) {
                self.chunks += 1;
                on_chunk(sent);
            }
        }
        self.rest.drain(..start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_may_be_cut_anywhere() {
        let stream = "data: {\"content\":\"@1763000000000001 \"}\n\n: comment\n\
                      data: {\"content\":\"@1763000000000002 \"}\n\ndata: {\"usage\":{}}\n\ndata: [DONE]\n\n";
        for size in 1..stream.len() {
            let (mut reader, mut stamps) = (Reader::new(), Vec::new());
            for piece in stream.as_bytes().chunks(size) {
                reader.feed(piece, |stamp| stamps.push(stamp));
            }
            assert_eq!(stamps, [1_763_000_000_000_001, 1_763_000_000_000_002], "pieces of {size}");
            assert!(reader.done && reader.chunks == 2);
        }
    }
}
