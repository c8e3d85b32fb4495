//! The frames of one segment file, one after the other, read in large chunks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use bytes::{Buf as _, Bytes};

use super::frame::{self, Decoded, Frame};

const CHUNK: u64 = 256 * 1024;

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Next {
    Frame(Frame),
    /// Nothing up to the limit.
    End,
    /// Bytes that are no frame, or a part of one.
    Corrupt,
}

/// Reads the frames of a file between its start and a limit, which can be moved on as the file grows.
#[derive(Debug)]
pub(super) struct Frames {
    file: File,
    /// Where the next frame starts; `chunk` holds what was read from there on.
    offset: u64,
    limit: u64,
    chunk: Bytes,
}

impl Frames {
    pub(super) fn new(file: File, limit: u64) -> Self {
        Self { file, offset: 0, limit, chunk: Bytes::new() }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Where reading ends for now.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Lets reading go on up to `limit`.
    pub(super) fn grow(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Reads nothing more.
    pub(super) fn stop(&mut self) {
        self.limit = self.offset;
        self.chunk = Bytes::new();
    }

    /// The next frame. After `Corrupt` or an error it stands where it stood.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        loop {
            let need = match frame::decode(&self.chunk) {
                Decoded::Frame(frame, size) => {
                    self.chunk.advance(size);
                    self.offset += size as u64;
                    return Ok(Next::Frame(frame));
                }
                Decoded::Corrupt => return Ok(Next::Corrupt),
                Decoded::Incomplete(need) => need as u64,
            };
            match self.limit.saturating_sub(self.offset) {
                0 => return Ok(Next::End),
                left if need > left => return Ok(Next::Corrupt),
                left => match self.read(need.max(CHUNK).min(left)) {
                    // Somebody cut the file: what was there is lost, and asking again will not bring it back.
                    Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(Next::Corrupt),
                    read => read?,
                },
            }
        }
    }

    fn read(&mut self, bytes: u64) -> io::Result<()> {
        let mut chunk = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut chunk, self.offset)?;
        self.chunk = chunk.into();
        Ok(())
    }
}
