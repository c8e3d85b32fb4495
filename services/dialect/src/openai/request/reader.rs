//! The one pass over a body.

use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Options, Peek, embeddings};
use crate::Invalid;
use crate::openai::json::{Key, KeySeed, Members, count, span, utf8};

/// The members of a chat body that the gateway reads. The required ones stand first.
pub(super) const CHAT: &[&str] = &[
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "tools",
    "functions",
    "response_format",
    "documents",
];
/// The members of an embeddings body that the gateway reads. The required ones stand first.
pub(super) const EMBEDDINGS: &[&str] = &["model", "input", "encoding_format"];
const REQUIRED: usize = 2;

/// Reads `body`, looking at `keys` only.
pub(super) fn read(body: &[u8], keys: &'static [&'static str]) -> Result<Peek, Invalid> {
    let text = utf8("body", body)?;
    let mut reader = Reader {
        text,
        keys,
        seen: 0,
        place: Place::Body,
        fault: None,
        prompt_bytes: 0,
        max_tokens: None,
        peek: Peek { choices: 1, ..Peek::default() },
    };
    let mut json = serde_json::Deserializer::from_str(text);
    match json.deserialize_map(&mut reader).and_then(|()| json.end()) {
        Ok(()) => reader.finish(),
        Err(error) => Err(reader.failure(&error)),
    }
}

/// Where the pass is, to say what was expected there.
enum Place {
    Body,
    Messages,
    Message(usize),
}

struct Reader<'de> {
    text: &'de str,
    keys: &'static [&'static str],
    /// A bit for each key that was seen.
    seen: u32,
    place: Place,
    /// A fault of our own finding, which goes before whatever serde says.
    fault: Option<Invalid>,
    prompt_bytes: usize,
    max_tokens: Option<u32>,
    peek: Peek,
}

impl<'de> Reader<'de> {
    fn finish(mut self) -> Result<Peek, Invalid> {
        for (bit, key) in self.keys.iter().enumerate().take(REQUIRED) {
            if self.seen & (1 << bit) == 0 {
                return Err(Invalid::field(*key, "is required"));
            }
        }
        self.peek.spans.open = self.text.find('{').map_or(0, |at| at + 1);
        self.peek.max_output_tokens = self.peek.max_output_tokens.or(self.max_tokens);
        self.peek.prompt_bytes = count(self.prompt_bytes);
        Ok(self.peek)
    }

    fn failure(self, error: &serde_json::Error) -> Invalid {
        match (self.fault, error.is_data(), self.place) {
            (Some(fault), ..) => fault,
            (None, false, _) => Invalid::json("body", error),
            (None, true, Place::Body) => Invalid::whole("body must be a JSON object"),
            (None, true, Place::Messages) => no_messages(),
            (None, true, Place::Message(at)) => {
                Invalid::field(format!("messages[{at}]"), "must be an object")
            }
        }
    }

    fn fail<E: Error>(&mut self, fault: Invalid) -> E {
        self.fault = Some(fault);
        E::custom("refused")
    }

    fn mark(&mut self, known: usize, key: &str) -> Result<(), Invalid> {
        if self.seen & (1 << known) != 0 {
            return Err(Invalid::field(key, "is given more than once"));
        }
        self.seen |= 1 << known;
        Ok(())
    }

    fn member(&mut self, key: &'static str, value: &'de RawValue) -> Result<(), Invalid> {
        let raw = value.get();
        let place = span(self.text, raw);
        match key {
            "model" => {
                self.peek.model = Some(model(raw)?);
                self.peek.spans.model = Some(place);
            }
            "stream" => {
                self.peek.stream = boolean(key, raw)?;
                self.peek.spans.stream = Some(place);
            }
            "stream_options" => self.stream_options(value, place)?,
            "max_tokens" => {
                self.max_tokens = positive(key, raw, u32::MAX)?;
                self.peek.spans.max_tokens = Some(place);
            }
            "max_completion_tokens" => {
                self.peek.max_output_tokens = positive(key, raw, u32::MAX)?;
                self.peek.spans.max_completion_tokens = Some(place);
            }
            "n" => self.peek.choices = positive(key, raw, 128)?.unwrap_or(1),
            "input" => {
                embeddings::check_input(raw)?;
                self.prompt_bytes += raw.len();
            }
            "encoding_format" => self.peek.base64 = embeddings::is_base64(raw)?,
            _ => self.prompt_bytes += raw.len(),
        }
        Ok(())
    }

    fn stream_options(&mut self, value: &'de RawValue, place: Range<usize>) -> Result<(), Invalid> {
        let raw = value.get();
        let mut options =
            Options { value: place, is_object: raw.starts_with('{'), empty: true, include_usage: None };
        if options.is_object {
            let (mut twice, mut include, mut empty) = (false, None, true);
            let members = Members {
                keys: &["include_usage"],
                each: |key: Key, value: &'de RawValue| {
                    empty = false;
                    twice |= key.known.is_some() && include.is_some();
                    if key.known.is_some() {
                        include = Some(value.get());
                    }
                    true
                },
            };
            let mut json = serde_json::Deserializer::from_str(raw);
            members.deserialize(&mut json).map_err(|error| Invalid::json("stream_options", &error))?;
            if twice {
                return Err(Invalid::field("stream_options.include_usage", "is given more than once"));
            }
            options.empty = empty;
            if let Some(raw) = include {
                self.peek.include_usage = boolean("stream_options.include_usage", raw)?;
                options.include_usage = Some(span(self.text, raw));
            }
        } else if raw != "null" {
            return Err(Invalid::field("stream_options", "must be an object"));
        }
        self.peek.spans.stream_options = Some(options);
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut Reader<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.peek.spans.empty = true;
        while let Some(key) = map.next_key_seed(KeySeed(self.keys))? {
            self.peek.spans.empty = false;
            let Some((known, name)) = key.known.and_then(|at| self.keys.get(at).map(|name| (at, *name)))
            else {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            };
            self.mark(known, name).map_err(|fault| self.fail(fault))?;
            if name == "messages" {
                self.place = Place::Messages;
                map.next_value_seed(Messages(&mut *self))?;
                self.place = Place::Body;
            } else {
                let value = map.next_value()?;
                self.member(name, value).map_err(|fault| self.fail(fault))?;
            }
        }
        Ok(())
    }
}

/// Walks `messages` in place, so that its text is looked at once.
struct Messages<'r, 'de>(&'r mut Reader<'de>);

impl<'de> DeserializeSeed<'de> for Messages<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Messages<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let reader = self.0;
        let mut at = 0;
        loop {
            reader.place = Place::Message(at);
            let mut role = None;
            let mut bytes = 3; // braces and a comma
            let message = Members {
                keys: &["role"],
                each: |key: Key, value: &'de RawValue| {
                    bytes += key.bytes + value.get().len() + 4; // quotes, colon, comma
                    if key.known.is_some() {
                        role = Some(role.unwrap_or(true) && value.get().starts_with('"'));
                    }
                    true
                },
            };
            if seq.next_element_seed(message)?.is_none() {
                break;
            }
            match role {
                Some(true) => reader.prompt_bytes += bytes,
                Some(false) => {
                    return Err(
                        reader.fail(Invalid::field(format!("messages[{at}].role"), "must be a string"))
                    );
                }
                None => {
                    return Err(reader.fail(Invalid::field(format!("messages[{at}].role"), "is required")));
                }
            }
            at += 1;
        }
        if at == 0 {
            return Err(reader.fail(no_messages()));
        }
        Ok(())
    }
}

fn no_messages() -> Invalid {
    Invalid::field("messages", "must be a non-empty array")
}

fn model(raw: &str) -> Result<String, Invalid> {
    match serde_json::from_str::<String>(raw) {
        Ok(model) if !model.is_empty() => Ok(model),
        _ => Err(Invalid::field("model", "must be a non-empty string")),
    }
}

/// A boolean; null counts as false, as OpenAI has it.
fn boolean(field: &str, raw: &str) -> Result<bool, Invalid> {
    match raw {
        "true" => Ok(true),
        "false" | "null" => Ok(false),
        _ => Err(Invalid::field(field, "must be a boolean")),
    }
}

/// An integer from 1 to `most`; `None` for null.
fn positive(field: &str, raw: &str, most: u32) -> Result<Option<u32>, Invalid> {
    if raw == "null" {
        return Ok(None);
    }
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Invalid::field(field, "must be an integer"));
    }
    match raw.parse() {
        Ok(n) if (1..=most).contains(&n) => Ok(Some(n)),
        _ => Err(Invalid::field(field, &format!("must be between 1 and {most}"))),
    }
}
