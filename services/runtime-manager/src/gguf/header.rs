//! The key-value pairs of a header, as far as they are wanted.

use std::collections::HashMap;
use std::io::{Read, Seek};

use super::GgufError;
use super::input::Input;

const MAGIC: [u8; 4] = *b"GGUF";
const MAX_PAIRS: u64 = 65_536;
/// The format's own limit.
const MAX_KEY_BYTES: usize = 65_535;
const MAX_TEXT_BYTES: usize = 4096;
/// Numbers that are kept although the architecture they belong to is not known yet.
const MAX_NUMBERS: usize = 64;
const MAX_ARRAY_DEPTH: u32 = 4;

/// What a header says of its model. Empty and unset where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) architecture: String,
    pub(crate) name: String,
    pub(crate) context_length: Option<u64>,
    pub(crate) embedding_length: Option<u64>,
    pub(crate) file_type: Option<u64>,
    /// Of how many files the model is made.
    pub(crate) split_count: Option<u64>,
}

/// Reads a header from the start of a file of `file_bytes`.
pub(crate) fn read<R: Read + Seek>(reader: R, file_bytes: u64) -> Result<Header, GgufError> {
    let mut input = Input::new(reader, file_bytes);
    preamble(&mut input)?;
    let _tensors = input.u64()?;
    let pairs = input.u64()?;
    if pairs > MAX_PAIRS {
        return Err(GgufError::TooLarge);
    }
    let mut found = Found::default();
    for _ in 0..pairs {
        pair(&mut input, &mut found)?;
    }
    Ok(found.header())
}

/// Checks that a file begins as a GGUF file does.
pub(crate) fn read_preamble<R: Read + Seek>(reader: R, file_bytes: u64) -> Result<(), GgufError> {
    preamble(&mut Input::new(reader, file_bytes))
}

fn preamble<R: Read + Seek>(input: &mut Input<R>) -> Result<(), GgufError> {
    if input.bytes::<4>()? != MAGIC {
        return Err(GgufError::Magic);
    }
    match input.u32()? {
        2 | 3 => Ok(()),
        version if (1..=3).contains(&version.swap_bytes()) => Err(GgufError::BigEndian),
        version => Err(GgufError::Version(version)),
    }
}

#[derive(Default)]
struct Found {
    texts: HashMap<String, String>,
    numbers: HashMap<String, u64>,
}

impl Found {
    fn header(mut self) -> Header {
        let architecture = self.texts.remove("general.architecture").unwrap_or_default();
        let number = |key: &str| self.numbers.get(key).copied();
        Header {
            context_length: number(&format!("{architecture}.context_length")),
            embedding_length: number(&format!("{architecture}.embedding_length")),
            file_type: number("general.file_type"),
            split_count: number("split.count"),
            name: self.texts.remove("general.name").unwrap_or_default(),
            architecture,
        }
    }
}

fn pair<R: Read + Seek>(input: &mut Input<R>, found: &mut Found) -> Result<(), GgufError> {
    let key = input.string(MAX_KEY_BYTES)?;
    let value_type = input.u32()?;
    match key.as_str() {
        "general.architecture" | "general.name" => {
            if value_type != STRING {
                return Err(GgufError::Malformed("a name is not a string"));
            }
            let text = input.string(MAX_TEXT_BYTES)?;
            found.texts.insert(key, text);
        }
        wanted if is_wanted_number(wanted) => {
            let number = scalar(input, value_type)?;
            if let Some(number) = number
                && found.numbers.len() < MAX_NUMBERS
            {
                found.numbers.insert(key, number);
            }
        }
        _ => skip_value(input, value_type, 0)?,
    }
    Ok(())
}

fn is_wanted_number(key: &str) -> bool {
    matches!(key, "general.file_type" | "split.count")
        || key.ends_with(".context_length")
        || key.ends_with(".embedding_length")
}

const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// A whole number that is not negative. None, and skipped, when the value is anything else.
fn scalar<R: Read + Seek>(input: &mut Input<R>, value_type: u32) -> Result<Option<u64>, GgufError> {
    Ok(match value_type {
        0 => Some(u64::from(u8::from_le_bytes(input.bytes()?))),
        1 => u64::try_from(i8::from_le_bytes(input.bytes()?)).ok(),
        2 => Some(u64::from(u16::from_le_bytes(input.bytes()?))),
        3 => u64::try_from(i16::from_le_bytes(input.bytes()?)).ok(),
        4 => Some(u64::from(input.u32()?)),
        5 => u64::try_from(i32::from_le_bytes(input.bytes()?)).ok(),
        10 => Some(input.u64()?),
        11 => u64::try_from(i64::from_le_bytes(input.bytes()?)).ok(),
        _ => {
            skip_value(input, value_type, 0)?;
            None
        }
    })
}

/// Bytes of a value of a type of fixed size.
fn fixed_size(value_type: u32) -> Option<u64> {
    match value_type {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

fn skip_value<R: Read + Seek>(input: &mut Input<R>, value_type: u32, depth: u32) -> Result<(), GgufError> {
    match value_type {
        STRING => input.skip_string(),
        ARRAY if depth == MAX_ARRAY_DEPTH => Err(GgufError::Malformed("arrays are nested too deeply")),
        ARRAY => skip_array(input, depth + 1),
        other => input.skip(fixed_size(other).ok_or(GgufError::ValueType(other))?),
    }
}

fn skip_array<R: Read + Seek>(input: &mut Input<R>, depth: u32) -> Result<(), GgufError> {
    let element_type = input.u32()?;
    let count = input.u64()?;
    if let Some(size) = fixed_size(element_type) {
        return input.skip(count.checked_mul(size).ok_or(GgufError::Truncated)?);
    }
    // Every element takes bytes of the file, which ends a count that lies.
    for _ in 0..count {
        skip_value(input, element_type, depth)?;
    }
    Ok(())
}
