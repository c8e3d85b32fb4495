//! A strict walk over JSON text that looks at each byte once.

use std::ops::Range;

use super::{number, string};

/// A place in JSON text. Every step returns `None` when the text is not what was asked for, or not JSON at all; the
/// walk is over then. It does not say what is wrong: serde_json does, for whoever reads the text again.
///
/// It takes nothing that serde_json would refuse to skip, and refuses two things of its own accord: values nested
/// deeper than [`MAX_DEPTH`], and escapes in names that [`Cursor::object`] hands out.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether there may be control characters, which may stand between values only.
    controls: bool,
}

/// The deepest nesting that [`Cursor::value`] walks through.
pub(crate) const MAX_DEPTH: u32 = 63;

impl<'a> Cursor<'a> {
    /// At the beginning of `text`; `None` unless that is UTF-8.
    pub(crate) fn new(text: &'a [u8]) -> Option<Self> {
        let printable = string::is_printable(text);
        let utf8 = printable || std::str::from_utf8(text).is_ok();
        utf8.then_some(Self { text, at: 0, controls: !printable })
    }

    /// The next byte that is not white space, which stays the next.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.text.get(self.at)? {
                b' ' | b'\n' | b'\t' | b'\r' => self.at += 1,
                byte => return Some(*byte),
            }
        }
    }

    /// Walks over an object and says where it lies. `member` is given each name and must walk over its value.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>,
    ) -> Option<Range<usize>> {
        self.take(b'{')?;
        let start = self.at - 1;
        if self.took(b'}') {
            return Some(start..self.at);
        }
        loop {
            self.take(b'"')?;
            let name = string::plain(self.text.get(self.at..)?, self.controls)?;
            self.at += name.len() + 1;
            self.take(b':')?;
            member(self, name)?;
            if self.next()? == b',' {
                continue;
            }
            self.was(b'}')?;
            return Some(start..self.at);
        }
    }

    /// Walks over an array. `item` must walk over each value.
    pub(crate) fn array(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.took(b']') {
            return Some(());
        }
        loop {
            item(self)?;
            if self.next()? == b',' {
                continue;
            }
            return self.was(b']');
        }
    }

    /// Walks over any value and says where it lies.
    #[inline]
    pub(crate) fn value(&mut self) -> Option<Range<usize>> {
        let first = self.next()?;
        let start = self.at - 1;
        if matches!(first, b'{' | b'[') { self.container(first) } else { self.scalar(first) }?;
        Some(start..self.at)
    }

    /// The text of a range that a step returned.
    pub(crate) fn raw(&self, place: &Range<usize>) -> &'a [u8] {
        self.text.get(place.clone()).unwrap_or_default()
    }

    /// Only white space may be left.
    pub(crate) fn end(mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn took(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    /// Whether the byte before is `byte`.
    fn was(&self, byte: u8) -> Option<()> {
        (self.text.get(self.at.checked_sub(1)?) == Some(&byte)).then_some(())
    }

    /// The rest of an object or array whose first character is behind.
    #[inline(never)]
    fn container(&mut self, first: u8) -> Option<()> {
        // A bit for each container that is open, set for an object; the topmost bit only marks the depth.
        let mut open = 1_u64;
        let mut first = first;
        loop {
            match first {
                b'{' if self.took(b'}') => {}
                b'{' => {
                    open = deeper(open)? | 1;
                    self.name()?;
                    first = self.next()?;
                    continue;
                }
                b'[' if self.took(b']') => {}
                b'[' => {
                    open = deeper(open)?;
                    first = self.next()?;
                    continue;
                }
                _ => self.scalar(first)?,
            }
            while open != 1 {
                match (self.next()?, open & 1 == 1) {
                    (b',', true) => self.name()?,
                    (b',', false) => {}
                    (b'}', true) | (b']', false) => {
                        open >>= 1;
                        continue;
                    }
                    _ => return None,
                }
                break;
            }
            if open == 1 {
                return Some(());
            }
            first = self.next()?;
        }
    }

    /// A member's name and colon.
    fn name(&mut self) -> Option<()> {
        self.take(b'"')?;
        self.string()?;
        self.take(b':')
    }

    /// The rest of a string, number or word whose first character is behind.
    fn scalar(&mut self, first: u8) -> Option<()> {
        match first {
            b'"' => self.string(),
            b't' => self.word(b"rue"),
            b'f' => self.word(b"alse"),
            b'n' => self.word(b"ull"),
            _ => self.number(first),
        }
    }

    /// The rest of a string whose opening quote is behind.
    fn string(&mut self) -> Option<()> {
        self.at += string::rest(self.text.get(self.at..)?, self.controls)?;
        Some(())
    }

    /// The rest of a word whose first letter is behind.
    fn word(&mut self, rest: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(rest).then(|| self.at += rest.len())
    }

    /// The rest of a number whose first character is behind.
    fn number(&mut self, first: u8) -> Option<()> {
        self.at += number::rest(first, self.text.get(self.at..)?)?;
        Some(())
    }
}

/// Room for one more open container.
fn deeper(open: u64) -> Option<u64> {
    (open >> MAX_DEPTH == 0).then_some(open << 1)
}
