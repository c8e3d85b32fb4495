//! Numbers of JSON text, walked over without being computed.

/// The bytes of a number behind its first character.
pub(super) fn rest(first: u8, text: &[u8]) -> Option<usize> {
    let mut rest = text;
    let digit = if first == b'-' { next(&mut rest)? } else { first };
    match digit {
        b'0' => {}
        b'1'..=b'9' => digits(&mut rest),
        _ => return None,
    }
    if let [b'.', fraction @ ..] = rest {
        rest = fraction;
        some_digits(&mut rest)?;
    }
    if let [b'e' | b'E', b'+' | b'-', exponent @ ..] | [b'e' | b'E', exponent @ ..] = rest {
        rest = exponent;
        some_digits(&mut rest)?;
    }
    Some(text.len() - rest.len())
}

fn next(text: &mut &[u8]) -> Option<u8> {
    text.split_off_first().copied()
}

fn some_digits(text: &mut &[u8]) -> Option<()> {
    next(text)?.is_ascii_digit().then(|| digits(text))
}

fn digits(text: &mut &[u8]) {
    while let [b'0'..=b'9', rest @ ..] = text {
        *text = rest;
    }
}
