//! Reading JSON members in place.

mod cursor;
mod number;
mod string;

#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

pub(crate) use cursor::Cursor;

/// Where `part`, a slice of `whole`, lies in it.
pub(crate) fn span(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

/// The body as text, as JSON must be.
pub(crate) fn utf8<'a>(subject: &str, body: &'a [u8]) -> Result<&'a str, crate::Invalid> {
    std::str::from_utf8(body).map_err(|error| {
        crate::Invalid::whole(format!("{subject} is not valid UTF-8 at byte {}", error.valid_up_to()))
    })
}

/// Text as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    // Text always serialises.
    serde_json::to_string(text).unwrap_or_default()
}

/// A count as a saturated `u32`.
pub(crate) fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Puts `edits`, sorted by place and not overlapping, in place of the ranges they name; the rest stays.
pub(crate) fn edit(body: &[u8], edits: &[(Range<usize>, impl AsRef<str>)]) -> Vec<u8> {
    let grown: usize = edits.iter().map(|(_, text)| text.as_ref().len()).sum();
    let mut out = Vec::with_capacity(body.len() + grown);
    let mut at = 0;
    for (range, text) in edits {
        out.extend_from_slice(body.get(at..range.start).unwrap_or_default());
        out.extend_from_slice(text.as_ref().as_bytes());
        at = range.end;
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    out
}

/// Whether a member is there at all, be it null.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Present(pub(crate) bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// A member's name: its place in a list of names that matter, and its length.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    /// The place in the list; `None` for a name that is not in it.
    pub(crate) known: Option<usize>,
    /// Bytes of the name.
    pub(crate) bytes: usize,
}

/// Reads a [`Key`] without keeping its text.
pub(crate) struct KeySeed<'k>(pub(crate) &'k [&'static str]);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        Ok(Key { known: self.0.iter().position(|key| *key == name), bytes: name.len() })
    }
}

/// Reads an object's members one by one, each value as it is written. `each` returns false to stop with an error.
pub(crate) struct Members<'k, F> {
    /// The names that matter.
    pub(crate) keys: &'k [&'static str],
    /// Called with every member.
    pub(crate) each: F,
}

impl<'de, F: FnMut(Key, &'de RawValue) -> bool> DeserializeSeed<'de> for Members<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(Key, &'de RawValue) -> bool> Visitor<'de> for Members<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(KeySeed(self.keys))? {
            let value: &'de RawValue = map.next_value()?;
            if !(self.each)(key, value) {
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}
