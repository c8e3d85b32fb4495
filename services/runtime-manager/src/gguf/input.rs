//! Numbers, strings and skips, with every length checked before it is believed.

use std::io::{BufReader, Read, Seek};

use super::GgufError;

/// A header beyond this is not read further. The largest vocabularies take some ten MiB.
const MAX_HEADER_BYTES: u64 = 128 << 20;

/// Reads forward through a file of a known size.
pub(crate) struct Input<R> {
    reader: BufReader<R>,
    /// Bytes left in the file.
    left_in_file: u64,
    /// Bytes left that a header may take.
    budget: u64,
}

impl<R: Read + Seek> Input<R> {
    pub(crate) fn new(reader: R, file_bytes: u64) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, reader),
            left_in_file: file_bytes,
            budget: MAX_HEADER_BYTES,
        }
    }

    /// Claims bytes that are about to be read or skipped.
    fn take(&mut self, bytes: u64) -> Result<(), GgufError> {
        self.left_in_file = self.left_in_file.checked_sub(bytes).ok_or(GgufError::Truncated)?;
        self.budget = self.budget.checked_sub(bytes).ok_or(GgufError::TooLarge)?;
        Ok(())
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], GgufError> {
        self.take(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, GgufError> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, GgufError> {
        self.bytes().map(u64::from_le_bytes)
    }

    pub(crate) fn skip(&mut self, bytes: u64) -> Result<(), GgufError> {
        self.take(bytes)?;
        let offset = i64::try_from(bytes).map_err(|_| GgufError::TooLarge)?;
        Ok(self.reader.seek_relative(offset)?)
    }

    pub(crate) fn skip_string(&mut self) -> Result<(), GgufError> {
        let length = self.u64()?;
        self.skip(length)
    }

    /// A string of `max` bytes at most, with what is not UTF-8 replaced.
    pub(crate) fn string(&mut self, max: usize) -> Result<String, GgufError> {
        let length = self.u64()?;
        self.take(length)?;
        let length = usize::try_from(length).ok().filter(|l| *l <= max).ok_or(GgufError::TooLarge)?;
        let mut bytes = vec![0; length];
        self.reader.read_exact(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
