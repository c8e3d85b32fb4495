//! Strings of JSON text, walked over without being decoded.

use memchr::memchr2;

const WORD: usize = 8;

/// Whether all of the text is ASCII without control characters, as JSON without line breaks often is.
pub(super) fn is_printable(text: &[u8]) -> bool {
    // Without branches, so that the compiler takes many bytes at once.
    text.iter().fold(0, |most, byte| most.max(byte.wrapping_sub(b' '))) <= b'\x7F' - b' '
}

/// A string without escapes, up to its closing quote. `text` begins behind the opening one.
#[inline]
pub(super) fn plain(text: &[u8], controls: bool) -> Option<&[u8]> {
    let length = special(text, controls)?;
    if text.get(length)? == &b'"' { text.get(..length) } else { None }
}

/// The bytes of a string, its closing quote included. `text` begins behind the opening one.
///
/// What an escape of four digits stands for is not looked at, so halves of surrogate pairs pass, as they do where
/// serde_json skips a string.
#[inline]
pub(super) fn rest(text: &[u8], controls: bool) -> Option<usize> {
    let at = special(text, controls)?;
    match text.get(at)? {
        b'"' => Some(at + 1),
        b'\\' => escaped(text, at, controls),
        _ => None,
    }
}

/// The same for a string that has its first escape at a place.
#[inline(never)]
fn escaped(text: &[u8], mut at: usize, controls: bool) -> Option<usize> {
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 1 + escape(text.get(at + 1..)?)?,
            _ => return None,
        }
        at += special(text.get(at..)?, controls)?;
    }
}

/// The bytes of an escape behind its backslash.
fn escape(text: &[u8]) -> Option<usize> {
    match text.first()? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(1),
        b'u' => text.get(1..5)?.iter().all(u8::is_ascii_hexdigit).then_some(5),
        _ => None,
    }
}

/// Where the first byte is that may not stand in a string as it is: a quote, a backslash or a control character. Where
/// there are no `controls`, they are not looked for.
#[inline]
fn special(text: &[u8], controls: bool) -> Option<usize> {
    // Names and short values end within the first words, before a faster search has begun.
    let Some((first, rest)) = text.split_first_chunk() else { return far(text, 0, controls) };
    let found = marks(u64::from_le_bytes(*first));
    if found != 0 {
        return Some(place(found));
    }
    let Some((second, _)) = rest.split_first_chunk() else { return far(text, WORD, controls) };
    let found = marks(u64::from_le_bytes(*second));
    if found != 0 {
        return Some(WORD + place(found));
    }
    far(text, 2 * WORD, controls)
}

/// The same, where the first bytes are none.
#[inline(never)]
fn far(text: &[u8], seen: usize, controls: bool) -> Option<usize> {
    let rest = text.get(seen..)?;
    let found = memchr2(b'"', b'\\', rest)?;
    (!controls || !has_controls(rest.get(..found)?)).then_some(seen + found)
}

fn has_controls(text: &[u8]) -> bool {
    text.iter().fold(u8::MAX, |least, byte| least.min(*byte)) < b' '
}

/// The top bit of each special byte; those behind the first may be marked wrongly.
fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    const TOPS: u64 = ONES << 7;
    // A byte is below `n` if subtracting borrows from its top bit, which was not set before.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & TOPS;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, u64::from(b' ')) | equal(b'"') | equal(b'\\')
}

/// The first marked byte.
fn place(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}
