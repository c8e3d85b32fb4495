//! What only an embeddings body has.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::Invalid;

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
    match Form::of(raw) {
        Form::Text if raw.len() > 2 => Ok(()),
        Form::Text => Err(Invalid::field("input", "must not be empty")),
        Form::List => serde_json::from_str::<List>(raw).map_err(|error| fault(&error)).map(drop),
        Form::Token | Form::Other => {
            Err(Invalid::field("input", "must be a string, an array of strings or an array of tokens"))
        }
    }
}

fn fault(error: &serde_json::Error) -> Invalid {
    if error.is_data() {
        // Only our own words come here: the visitor below asks for raw values.
        return Invalid::field(
            "input",
            "must be a non-empty array of non-empty strings, of tokens or of non-empty arrays of tokens",
        );
    }
    Invalid::json("input", error)
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Text,
    Token,
    List,
    Other,
}

impl Form {
    fn of(raw: &str) -> Self {
        match raw.as_bytes() {
            [b'"', ..] => Self::Text,
            [b'[', ..] => Self::List,
            digits if digits.iter().all(u8::is_ascii_digit) => Self::Token,
            _ => Self::Other,
        }
    }
}

/// A list of one form that is nowhere empty.
struct List;

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items { tokens_only: false })
    }
}

/// A list of tokens.
struct Tokens;

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items { tokens_only: true }).map(|_| Self)
    }
}

struct Items {
    tokens_only: bool,
}

impl<'de> Visitor<'de> for Items {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List, A::Error> {
        let mut first = None;
        while let Some(item) = seq.next_element::<&RawValue>()? {
            let form = Form::of(item.get());
            let fits = match form {
                Form::Text => !self.tokens_only && item.get().len() > 2,
                Form::List => !self.tokens_only && serde_json::from_str::<Tokens>(item.get()).is_ok(),
                Form::Token => true,
                Form::Other => false,
            };
            if !fits || *first.get_or_insert(form) != form {
                return Err(A::Error::custom("unfit item"));
            }
        }
        first.map(|_| List).ok_or_else(|| A::Error::custom("no item"))
    }
}
