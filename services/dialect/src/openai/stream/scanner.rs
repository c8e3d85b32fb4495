//! Finds the ends of events, whatever the pieces the bytes come in.

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use super::familiar::Familiar;
use super::{Event, EventKind, classify};
use crate::Invalid;
use crate::openai::json::count;

/// The longest event that is taken, in bytes.
pub const MAX_EVENT_BYTES: usize = 4 * 1024 * 1024;

/// Splits a byte stream into whole server-sent events (WHATWG HTML, "Server-sent events") without altering, merging or
/// holding back any: the raw events joined are the input. How the input is cut into pieces makes no difference.
///
/// Feed it with [`Scanner::push`], then take events with [`Scanner::next`] until there is none. An event that lies in
/// one piece is a slice of it; only one that spans pieces is copied. An event over [`MAX_EVENT_BYTES`] is an error,
/// after which nothing more comes.
#[derive(Debug, Default)]
pub struct Scanner {
    /// The begun event's bytes from earlier pieces.
    head: BytesMut,
    /// What came last and is not consumed.
    tail: Bytes,
    /// Bytes of `tail` that were looked at.
    at: usize,
    place: Place,
    /// Lines of the begun event that are not blank.
    lines: usize,
    familiar: Familiar,
    failed: bool,
}

/// Where in the grammar the scan is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Place {
    /// At the start of a line, the one before having ended so.
    #[default]
    Start,
    StartAfterCr,
    StartAfterCrLf,
    /// Within a line.
    Line,
    /// After a CR that ended a line; an LF would belong to it.
    Cr,
    /// After a CR that ended a blank line where lines end with CR LF: the LF is awaited, so that the event is whole.
    BlankCr,
    /// After a CR that ended a blank line and the event; an LF would belong to it but the event is gone already.
    Gone,
}

impl Scanner {
    /// A scanner at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next piece of the stream.
    pub fn push(&mut self, bytes: Bytes) {
        if self.failed {
            return;
        }
        if self.tail.is_empty() {
            self.tail = bytes;
        } else {
            self.tail = [self.tail.as_ref(), bytes.as_ref()].concat().into();
        }
    }

    /// The next whole event; `None` until more is pushed.
    #[expect(
        clippy::should_implement_trait,
        reason = "none now does not mean none ever, so it is no iterator"
    )]
    pub fn next(&mut self) -> Option<Result<Event, Invalid>> {
        if self.tail.is_empty() {
            return None;
        }
        let end = self.end();
        if self.failed || self.head.len() + end.unwrap_or(self.tail.len()) > MAX_EVENT_BYTES {
            return self.fail();
        }
        let Some(end) = end else {
            self.head.extend_from_slice(&self.tail);
            self.tail = Bytes::new();
            self.at = 0;
            return None;
        };
        self.at = 0;
        let rest = self.tail.split_to(end);
        let raw = if self.head.is_empty() {
            rest
        } else {
            self.head.extend_from_slice(&rest);
            self.head.split().freeze()
        };
        let lines = std::mem::take(&mut self.lines);
        Some(Ok(self.event(raw, lines)))
    }

    fn event(&mut self, raw: Bytes, lines: usize) -> Event {
        if let Some(bytes) = self.familiar.text_bytes(&raw, lines) {
            let (kind, output_bytes) = (EventKind::Content, count(bytes));
            return Event { raw, kind, usage: None, finish: false, output_bytes };
        }
        let event = classify::event(raw, lines);
        self.familiar.learn(&event, lines);
        event
    }

    /// Whether no part of an event is waiting for its rest. A stream that ends otherwise was cut.
    pub fn is_empty(&self) -> bool {
        // An LF can only wait alone as the rest of the line end that closed the event before.
        self.tail.is_empty() && (self.head.is_empty() || self.head.as_ref() == b"\n")
    }

    fn fail(&mut self) -> Option<Result<Event, Invalid>> {
        if self.failed {
            return None;
        }
        *self = Self { failed: true, ..Self::default() };
        Some(Err(Invalid::whole(format!("a stream's event is longer than {MAX_EVENT_BYTES} bytes"))))
    }

    /// Looks on in `tail` and returns where the event ends, if it does.
    fn end(&mut self) -> Option<usize> {
        while let Some(&byte) = self.tail.get(self.at) {
            let ended = match (self.place, byte) {
                (Place::Line, _) => {
                    self.line();
                    continue;
                }
                (Place::Cr, b'\n') => self.go(Place::StartAfterCrLf),
                (Place::Gone, b'\n') => self.go(Place::StartAfterCr),
                (Place::BlankCr, b'\n') => self.stop(Place::StartAfterCrLf),
                (Place::BlankCr, _) => {
                    // Not looked at yet: it is the next event's.
                    self.place = Place::StartAfterCr;
                    return Some(self.at);
                }
                (_, b'\n') => self.stop(Place::Start),
                (Place::StartAfterCrLf, b'\r') => self.go(Place::BlankCr),
                (_, b'\r') => self.stop(Place::Gone),
                _ => {
                    self.lines += 1;
                    self.go(Place::Line)
                }
            };
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    fn line(&mut self) {
        let rest = self.tail.get(self.at..).unwrap_or_default();
        match memchr2(b'\n', b'\r', rest) {
            Some(length) => {
                self.place = if rest.get(length) == Some(&b'\r') { Place::Cr } else { Place::Start };
                self.at += length + 1;
            }
            None => self.at = self.tail.len(),
        }
    }

    fn go(&mut self, place: Place) -> Option<usize> {
        self.place = place;
        self.at += 1;
        None
    }

    fn stop(&mut self, place: Place) -> Option<usize> {
        self.go(place);
        Some(self.at)
    }
}
