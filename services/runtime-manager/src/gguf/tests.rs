use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::testing::{Gguf, array, llama, text};

fn parse(file: &[u8]) -> Result<Header, GgufError> {
    read(Cursor::new(file), file.len() as u64)
}

fn problem(file: &[u8]) -> String {
    parse(file).unwrap_err().to_string()
}

fn tiny() -> Header {
    Header {
        architecture: "llama".into(),
        name: "Tiny".into(),
        context_length: Some(4096),
        embedding_length: Some(64),
        file_type: Some(15),
        split_count: None,
    }
}

#[test]
fn both_versions_are_read() {
    assert_eq!(parse(&llama().bytes()).unwrap(), tiny());
    assert_eq!(parse(&llama().version(2).bytes()).unwrap(), tiny());
}

#[test]
fn numbers_of_every_width_count_whatever_their_place() {
    for (value_type, value) in [
        (0, 7_u8.to_le_bytes().to_vec()),
        (1, 7_i8.to_le_bytes().to_vec()),
        (2, 7_u16.to_le_bytes().to_vec()),
        (3, 7_i16.to_le_bytes().to_vec()),
        (4, 7_u32.to_le_bytes().to_vec()),
        (5, 7_i32.to_le_bytes().to_vec()),
        (10, 7_u64.to_le_bytes().to_vec()),
        (11, 7_i64.to_le_bytes().to_vec()),
    ] {
        let file = Gguf::new()
            .raw("x.context_length", value_type, &value)
            .u32("vision.context_length", 9)
            .text("general.architecture", "x");
        assert_eq!(parse(&file.bytes()).unwrap().context_length, Some(7), "type {value_type}");
    }
    let negative = Gguf::new().raw("general.file_type", 5, &(-1_i32).to_le_bytes());
    let fractional = Gguf::new().raw("general.file_type", 6, &1_f32.to_le_bytes());
    let wordy = Gguf::new().text("general.file_type", "15");
    for file in [negative, fractional, wordy] {
        assert_eq!(parse(&file.bytes()).unwrap(), Header::default());
    }
}

#[test]
fn every_truncation_is_a_problem() {
    let file = llama().bytes();
    for length in 0..file.len() {
        let problem = problem(&file[..length]);
        assert_eq!(problem, "the file ends within its header", "{length} bytes");
    }
}

#[test]
fn hostile_headers_are_refused() {
    let nested = (0..6).fold(Vec::new(), |inner, _| array(9, 1, &inner));
    let huge = u64::MAX.to_le_bytes();
    let truncated = "the file ends within its header";
    let cases = [
        (b"GGML\x03\0\0\0".to_vec(), "not a GGUF file"),
        (Gguf::new().version(1).bytes(), "GGUF version 1 is not supported"),
        (Gguf::new().version(3_u32.swap_bytes()).bytes(), "big-endian GGUF files are not supported"),
        (llama().with_pairs(u64::MAX), "the header is larger than any model needs"),
        (llama().with_pairs(65_536), truncated),
        (Gguf::new().raw("k", 8, &huge).bytes(), truncated),
        (Gguf::new().raw("general.name", 8, &huge).bytes(), truncated),
        (Gguf::new().raw("k", 9, &array(4, u64::MAX, &[])).bytes(), truncated),
        (Gguf::new().raw("k", 9, &array(8, u64::MAX, &[])).bytes(), truncated),
        (
            Gguf::new().raw("k", 9, &array(99, u64::MAX, &[])).bytes(),
            "the header has a value of the unknown type 99",
        ),
        (
            Gguf::new().raw("k", 9, &nested).bytes(),
            "the header is not well formed: arrays are nested too deeply",
        ),
        (
            Gguf::new().text("general.name", &"x".repeat(5000)).bytes(),
            "the header is larger than any model needs",
        ),
        (
            Gguf::new().u32("general.architecture", 1).bytes(),
            "the header is not well formed: a name is not a string",
        ),
    ];
    for (file, expected) in cases {
        assert_eq!(problem(&file), expected);
    }
}

/// A file that is larger than memory, as a disk may hold it: everything past its header is zero.
struct Endless(Cursor<Vec<u8>>);

impl std::io::Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => {
                buffer.fill(0);
                Ok(buffer.len())
            }
            some => Ok(some),
        }
    }
}

impl std::io::Seek for Endless {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_header_that_never_ends_is_given_up() {
    let file = Gguf::new().raw("k", 9, &array(8, 1 << 40, &[])).bytes();
    let problem = read(Endless(Cursor::new(file)), 1 << 50).unwrap_err();
    assert!(matches!(problem, GgufError::TooLarge), "{problem}");
}

#[test]
fn text_that_is_not_utf8_is_shown_as_far_as_it_goes() {
    let mut name = text("ab");
    name[8] = 0xff;
    let file = Gguf::new().raw("general.name", 8, &name).bytes();
    assert_eq!(parse(&file).unwrap().name, "\u{fffd}b");
}

proptest! {
    #[test]
    fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..512), pairs in 0_u64..10) {
        let mut file = Gguf::new().with_pairs(pairs);
        file.extend(&body);
        let _ = parse(&file);
        let _ = parse(&body);
    }

    #[test]
    fn flipped_bytes_never_panic(flips in proptest::collection::vec((0_usize..400, any::<u8>()), 1..8)) {
        let mut file = llama().bytes();
        for (place, value) in flips {
            let place = place % file.len();
            file[place] = value;
        }
        let _ = parse(&file);
    }
}
