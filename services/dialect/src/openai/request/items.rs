//! Texts a body gives to be worked on, in any of the four forms that OpenAI's API takes.

use crate::Invalid;
use crate::openai::json::{Cursor, count};

/// How many texts the value of `field` holds: it is text, texts, tokens or lists of tokens, nowhere empty.
pub(super) fn texts(field: &str, raw: &str) -> Result<u32, Invalid> {
    match raw.as_bytes() {
        b"\"\"" => Err(Invalid::field(field, "must not be empty")),
        [b'"', ..] => Ok(1),
        list @ [b'[', ..] => in_list(field, list),
        _ => Err(Invalid::field(field, "must be a string, an array of strings or an array of tokens")),
    }
}

fn in_list(field: &str, list: &[u8]) -> Result<u32, Invalid> {
    let fits = Cursor::new(list).and_then(|mut json| items(&mut json, true));
    let (form, length) = fits.ok_or_else(|| {
        Invalid::field(
            field,
            "must be a non-empty array of non-empty strings, of tokens or of non-empty arrays of tokens",
        )
    })?;
    Ok(if form == Form::Token { 1 } else { count(length) })
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Text,
    Token,
    List,
}

/// Walks over a list that is nowhere empty and whose items have one form, which it tells with their number. Only the
/// outermost may hold more than tokens.
fn items(json: &mut Cursor<'_>, outermost: bool) -> Option<(Form, usize)> {
    let (mut first, mut length) = (None, 0);
    json.array(|json| {
        let (form, fits) = match json.peek()? {
            b'[' if outermost => (Form::List, items(json, false).is_some()),
            b'[' => return None,
            b'"' => (Form::Text, outermost && json.value()?.len() > 2),
            _ => {
                let token = json.value()?;
                (Form::Token, json.raw(&token).iter().all(u8::is_ascii_digit))
            }
        };
        length += 1;
        (fits && *first.get_or_insert(form) == form).then_some(())
    })?;
    Some((first?, length))
}
