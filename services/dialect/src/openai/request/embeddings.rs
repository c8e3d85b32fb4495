//! What only an embeddings body has.

use crate::Invalid;
use crate::openai::json::Cursor;

/// Whether `encoding_format` asks for base64.
pub(super) fn is_base64(raw: &str) -> Result<bool, Invalid> {
    match serde_json::from_str::<Option<&str>>(raw) {
        Ok(Some("base64")) => Ok(true),
        Ok(Some("float") | None) => Ok(false),
        _ => Err(Invalid::field("encoding_format", "must be \"float\" or \"base64\"")),
    }
}

/// Checks that `input` is text, texts, tokens or lists of tokens, nowhere empty.
pub(super) fn check_input(raw: &str) -> Result<(), Invalid> {
    match raw.as_bytes() {
        b"\"\"" => Err(Invalid::field("input", "must not be empty")),
        [b'"', ..] => Ok(()),
        list @ [b'[', ..] => check_list(list),
        _ => Err(Invalid::field("input", "must be a string, an array of strings or an array of tokens")),
    }
}

fn check_list(list: &[u8]) -> Result<(), Invalid> {
    let fits = Cursor::new(list).and_then(|mut json| items(&mut json, true));
    fits.ok_or_else(|| {
        Invalid::field(
            "input",
            "must be a non-empty array of non-empty strings, of tokens or of non-empty arrays of tokens",
        )
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Text,
    Token,
    List,
}

/// Walks over a list that is nowhere empty and whose items have one form. Only the outermost may hold more than tokens.
fn items(json: &mut Cursor<'_>, outermost: bool) -> Option<()> {
    let mut first = None;
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
        (fits && *first.get_or_insert(form) == form).then_some(())
    })?;
    first.map(drop)
}
