//! Numbers of JSON text, walked over without being computed.

/// The bytes of a number behind its first character.
pub(super) fn rest(first: u8, text: &[u8]) -> Option<usize> {
    let mut at = match (first, text.first()) {
        (b'0', _) => 0,
        (b'1'..=b'9', _) => digits(text),
        (b'-', Some(b'0')) => 1,
        (b'-', Some(b'1'..=b'9')) => digits(text),
        _ => return None,
    };
    if text.get(at) == Some(&b'.') {
        at += 1 + some_digits(text.get(at + 1..)?)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        at += 1 + sign + some_digits(text.get(at + 1 + sign..)?)?;
    }
    Some(at)
}

fn some_digits(text: &[u8]) -> Option<usize> {
    Some(digits(text)).filter(|digits| *digits > 0)
}

fn digits(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let others = others(u64::from_le_bytes(*word));
        if others != 0 {
            return at * 8 + others.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The top bit of each byte that is no digit; those behind the first may be marked wrongly.
fn others(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    // Of all bytes only digits become less than ten.
    let value = word ^ (ONES * b'0' as u64);
    (value.wrapping_add(ONES * (0x80 - 10)) | value) & (ONES << 7)
}
