//! The pass that says what is wrong with a body, and where.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::Peek;
use super::draft::{Draft, MEMBER_BYTES, MESSAGE_BYTES};
use crate::Invalid;
use crate::openai::json::{Key, KeySeed, Members, span, utf8};

/// Reads `body`, looking at `keys` only.
pub(super) fn read(body: &[u8], keys: &'static [&'static str]) -> Result<Peek, Invalid> {
    let text = utf8("body", body)?;
    let mut reader = Reader { text, draft: Draft::new(keys), place: Place::Body, fault: None };
    let mut json = serde_json::Deserializer::from_str(text);
    match json.deserialize_map(&mut reader).and_then(|()| json.end()) {
        Ok(()) => reader.draft.finish(),
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
    draft: Draft,
    place: Place,
    /// A fault of our own finding, which goes before whatever serde says.
    fault: Option<Invalid>,
}

impl<'de> Reader<'de> {
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
}

impl<'de> Visitor<'de> for &mut Reader<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let keys = self.draft.keys;
        while let Some(key) = map.next_key_seed(KeySeed(keys))? {
            let Some((known, name)) = key.known.and_then(|at| keys.get(at).map(|name| (at, *name))) else {
                map.next_value::<serde::de::IgnoredAny>()?;
                continue;
            };
            self.draft.mark(known, name).map_err(|fault| self.fail(fault))?;
            if name == "messages" {
                self.place = Place::Messages;
                map.next_value_seed(Messages(&mut *self))?;
                self.place = Place::Body;
            } else {
                let raw = map.next_value::<&'de RawValue>()?.get();
                self.draft.member(name, raw, &span(self.text, raw)).map_err(|fault| self.fail(fault))?;
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
            let mut bytes = MESSAGE_BYTES;
            let message = Members {
                keys: &["role"],
                each: |key: Key, value: &'de RawValue| {
                    bytes += key.bytes + value.get().len() + MEMBER_BYTES;
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
                Some(true) => reader.draft.prompt_bytes += bytes,
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
