//! One record as bytes: length, checksum, kind, key, payload. Pure.
//!
//! ```text
//! 0       4       8      9          25
//! | length | crc32 | kind | key (16) | payload ... |
//! ```
//! Numbers are little-endian. The length counts what follows the checksum; the checksum covers the length and what
//! follows the checksum. So a run of zeros, which is what a file system may leave after a crash, is no frame.

use bytes::Bytes;
use uuid::Uuid;

use super::MAX_RECORD_BYTES;

const PREFIX: usize = 8;
const HEADER: usize = PREFIX + 1 + 16;

/// What a record says about its entry. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Begin = 1,
    Note = 2,
    End = 3,
    Cancel = 4,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Begin, Self::Note, Self::End, Self::Cancel].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A record that was read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) key: Uuid,
    /// A slice of the buffer it was decoded from.
    pub(super) payload: Bytes,
}

/// What a buffer starts with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// A whole frame, and the bytes it takes.
    Frame(Frame, usize),
    /// Perhaps a frame: this many bytes from its start are needed to tell more.
    Incomplete(usize),
    /// No frame that we wrote.
    Corrupt,
}

/// A record as a frame. The payload must not be over `MAX_RECORD_BYTES`.
pub(super) fn encode(kind: Kind, key: Uuid, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER - PREFIX + payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let mut header = [0; HEADER];
    header[..4].copy_from_slice(&length);
    header[PREFIX] = kind as u8;
    header[PREFIX + 1..].copy_from_slice(key.as_bytes());
    let mut out = Vec::with_capacity(HEADER + payload.len());
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    let checksum = checksum(&length, &out[PREFIX..]).to_le_bytes();
    out[4..PREFIX].copy_from_slice(&checksum);
    out
}

/// Reads the frame that `bytes` starts with.
pub(super) fn decode(bytes: &Bytes) -> Decoded {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Decoded::Incomplete(HEADER) };
    let body = u32::from_le_bytes(*length) as usize;
    if !(HEADER - PREFIX..=HEADER - PREFIX + MAX_RECORD_BYTES).contains(&body) {
        return Decoded::Corrupt;
    }
    let size = PREFIX + body;
    if bytes.len() < size {
        return Decoded::Incomplete(size);
    }
    let Some((stored, rest)) = rest.split_first_chunk::<4>() else { return Decoded::Incomplete(HEADER) };
    if checksum(length, &rest[..body]) != u32::from_le_bytes(*stored) {
        return Decoded::Corrupt;
    }
    let Some(kind) = Kind::of(rest[0]) else { return Decoded::Corrupt };
    let Ok(key) = Uuid::from_slice(&rest[1..HEADER - PREFIX]) else { return Decoded::Corrupt };
    Decoded::Frame(Frame { kind, key, payload: bytes.slice(HEADER..size) }, size)
}

fn checksum(length: &[u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(length);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: Kind, payload: &[u8]) -> Vec<u8> {
        encode(kind, Uuid::from_u128(7), payload)
    }

    #[test]
    fn a_frame_comes_back_and_leaves_what_follows() {
        for (kind, payload) in [(Kind::Begin, &b"hello"[..]), (Kind::Note, b""), (Kind::End, &[0; 3000])] {
            let mut bytes = encoded(kind, payload);
            let size = bytes.len();
            assert_eq!(size, HEADER + payload.len());
            bytes.extend_from_slice(b"more");
            let frame = Frame { kind, key: Uuid::from_u128(7), payload: Bytes::copy_from_slice(payload) };
            assert_eq!(decode(&bytes.into()), Decoded::Frame(frame, size));
        }
    }

    #[test]
    fn any_part_of_a_frame_is_incomplete_and_any_flipped_bit_is_noticed() {
        let whole = encoded(Kind::End, b"payload");
        for cut in 0..whole.len() {
            assert!(matches!(decode(&whole[..cut].to_vec().into()), Decoded::Incomplete(n) if n > cut));
        }
        for bit in 0..whole.len() * 8 {
            let mut bent = whole.clone();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode(&bent.into()), Decoded::Frame(..)), "bit {bit}");
        }
    }

    #[test]
    fn zeros_huge_lengths_and_unknown_kinds_are_corrupt() {
        assert_eq!(decode(&vec![0; 100].into()), Decoded::Corrupt);
        assert_eq!(decode(&vec![0xff; 100].into()), Decoded::Corrupt);
        let mut bytes = encoded(Kind::End, b"payload");
        bytes[PREFIX] = 9;
        let length = *bytes.first_chunk::<4>().unwrap();
        let fresh = checksum(&length, &bytes[PREFIX..]).to_le_bytes();
        bytes[4..PREFIX].copy_from_slice(&fresh);
        assert_eq!(decode(&bytes.into()), Decoded::Corrupt);
    }
}
