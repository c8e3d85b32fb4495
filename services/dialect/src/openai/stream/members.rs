//! What members a chunk has, told in one pass without parsing it.
//!
//! A quote inside a JSON string is escaped, so `"name"` followed by a colon can only be a member's name, at whatever
//! depth. Content that talks about `"usage":{` does not match; a member of that name elsewhere in the chunk does.

#[cfg(test)]
mod tests;

use memchr::memchr2;

const WORD: usize = 8;

/// The members that matter, each at whatever depth and as often as it stands there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Members {
    /// Whether `choices` is there.
    pub(super) choices: bool,
    /// Whether `finish_reason` is a string.
    pub(super) finish: bool,
    /// Whether `usage` is an object.
    pub(super) usage: bool,
    /// Whether `error` is an object or a string.
    pub(super) error: bool,
    /// Whether `audio` is an object.
    audio: bool,
    /// Whether `tool_calls` has items or `function_call` is an object.
    calls: bool,
    /// Whether `content` has items.
    parts: bool,
    /// Bytes of the strings of each name.
    content: usize,
    arguments: usize,
    refusal: usize,
    reasoning: usize,
    reasoning_content: usize,
    text: usize,
}

impl Members {
    /// Looks through a chunk.
    pub(super) fn of(data: &[u8]) -> Self {
        let mut members = Self::default();
        // With its quotes the shortest name is almost a word long: of two colons in a word only the first can end one,
        // as JSON has no name right behind a colon.
        let (words, rest) = data.as_chunks();
        for (at, word) in words.iter().enumerate() {
            let marks = marks(u64::from_le_bytes(*word));
            if marks != 0 {
                members.colon(data, at * WORD + marks.trailing_zeros() as usize / 8);
            }
        }
        if let Some(at) = rest.iter().position(|byte| *byte == b':') {
            members.colon(data, words.len() * WORD + at);
        }
        members
    }

    /// Bytes of what the model produced in this chunk; `None` when it produced nothing.
    pub(super) fn output(&self) -> Option<usize> {
        if self.content > 0 {
            return Some(self.content);
        }
        let arguments = if self.calls { self.arguments } else { 0 };
        // Servers that send both spellings of the reasoning send the same text in each.
        let said = arguments + self.reasoning.max(self.reasoning_content) + self.refusal;
        // Parts of content, and details of reasoning, repeat as `text` what was said under another name.
        let bytes = said.max(self.text);
        (bytes > 0 || self.calls || self.parts || self.audio).then_some(bytes)
    }

    fn colon(&mut self, data: &[u8], at: usize) {
        let Some((before, [_, value @ ..])) = data.split_at_checked(at) else { return };
        if let Some(name) = before.trim_ascii_end().strip_suffix(b"\"") {
            self.member(name, value.trim_ascii_start());
        }
    }

    /// Adds a member whose name is what `name` ends with, from its quote on.
    fn member(&mut self, name: &[u8], value: &[u8]) {
        let first = value.first();
        // By the last letter first: most names are then compared with few.
        match name.last() {
            Some(b's') if name.ends_with(b"\"choices") => self.choices = true,
            Some(b'n') if name.ends_with(b"\"finish_reason") => self.finish |= first == Some(&b'"'),
            Some(b'e') if name.ends_with(b"\"usage") => self.usage |= first == Some(&b'{'),
            Some(b'r') if name.ends_with(b"\"error") => self.error |= matches!(first, Some(b'{' | b'"')),
            Some(b'o') if name.ends_with(b"\"audio") => self.audio |= first == Some(&b'{'),
            Some(b'l') if name.ends_with(b"\"function_call") => self.calls |= first == Some(&b'{'),
            Some(b's') if name.ends_with(b"\"tool_calls") => self.calls |= is_filled(value),
            Some(b't') if name.ends_with(b"\"content") => {
                self.parts |= is_filled(value);
                self.content += string_member(value);
            }
            Some(b't') if name.ends_with(b"\"text") => self.text += string_member(value),
            Some(b's') if name.ends_with(b"\"arguments") => self.arguments += string_member(value),
            Some(b'l') if name.ends_with(b"\"refusal") => self.refusal += string_member(value),
            Some(b'g') if name.ends_with(b"\"reasoning") => self.reasoning += string_member(value),
            Some(b't') if name.ends_with(b"\"reasoning_content") => {
                self.reasoning_content += string_member(value);
            }
            _ => {}
        }
    }
}

/// The top bit of each colon; bytes behind the first may be marked wrongly.
fn marks(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xFF;
    let word = word ^ (ONES * b':' as u64);
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// Whether a value is a list with something in it.
fn is_filled(value: &[u8]) -> bool {
    let items = value.strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
    items.is_some_and(|items| items.first().is_some_and(|byte| *byte != b']'))
}

/// Bytes of a string between its quotes; 0 for any other value.
fn string_member(value: &[u8]) -> usize {
    value.strip_prefix(b"\"").map_or(0, string_bytes)
}

/// Bytes up to a string's closing quote, or all of them if it has none.
pub(super) fn string_bytes(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr2(b'"', b'\\', text.get(at..).unwrap_or_default()) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return at;
        }
        at += 2; // the backslash and what it escapes
    }
    text.len()
}
