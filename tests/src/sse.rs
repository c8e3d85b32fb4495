//! A reader of server-sent events that notes when each came, byte by byte as it came.

use std::time::Instant;

use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;

use crate::http::{Connection, Reply};

/// One event or comment, up to and including its blank line.
#[derive(Clone, Debug)]
pub struct Event {
    /// The bytes.
    pub raw: String,
    /// When its last byte had arrived.
    pub at: Instant,
}

impl Event {
    /// What follows `data: `, if this is no comment.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        self.raw.lines().find_map(|line| line.strip_prefix("data:")).map(str::trim)
    }

    /// The data as JSON. `Null` for comments and `[DONE]`.
    ///
    /// # Panics
    /// When it is anything else.
    #[must_use]
    pub fn json(&self) -> Value {
        match self.data() {
            None | Some("[DONE]") => Value::Null,
            Some(data) => serde_json::from_str(data).unwrap_or_else(|e| panic!("not JSON ({e}): {data}")),
        }
    }

    /// Whether this ends an OpenAI stream.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.data() == Some("[DONE]")
    }

    /// The text the event adds to the answer, of chat or of completions, if any.
    #[must_use]
    pub fn content(&self) -> Option<String> {
        let choice = &self.json()["choices"][0];
        let text = choice["delta"]["content"].as_str().or_else(|| choice["text"].as_str())?.to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Why the answer ended, if the event says so.
    #[must_use]
    pub fn finish_reason(&self) -> Option<String> {
        self.json()["choices"][0]["finish_reason"].as_str().map(str::to_owned)
    }
}

/// An answer under way. Dropping it hangs up.
pub struct EventStream {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    body: Incoming,
    pending: Vec<u8>,
    _connection: Connection,
}

impl EventStream {
    pub(crate) fn new(response: Response<Incoming>, connection: Connection) -> Self {
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        Self { status, headers: head.headers, body, pending: Vec::new(), _connection: connection }
    }

    /// The next event or comment. `Ok(None)` at the body's clean end.
    ///
    /// # Errors
    /// When the body breaks off.
    pub async fn next(&mut self) -> Result<Option<Event>, hyper::Error> {
        loop {
            if let Some(end) = self.pending.windows(2).position(|pair| pair == b"\n\n") {
                let raw = self.pending.drain(..end + 2).collect();
                let raw = String::from_utf8(raw).expect("events are UTF-8");
                return Ok(Some(Event { raw, at: Instant::now() }));
            }
            match self.body.frame().await.transpose()? {
                Some(frame) => self.pending.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                None => return Ok(None),
            }
        }
    }

    /// Reads until so many content chunks have come, and returns what came.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn read_content(&mut self, chunks: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.iter().filter_map(Event::content).count() < chunks {
            let event = self.next().await.expect("the stream goes on");
            events.push(event.expect("the stream has that many chunks"));
        }
        events
    }

    /// Reads to the end: what came, and whether the body ended cleanly.
    pub async fn read_to_end(mut self) -> (Vec<Event>, bool) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, self.pending.is_empty()),
                Err(_) => return (events, false),
            }
        }
    }

    /// The whole body as a reply: what an early failure is.
    pub async fn into_reply(self) -> Reply {
        let body = self.body.collect().await.expect("the answer's body comes whole").to_bytes();
        Reply { status: self.status, headers: self.headers, body }
    }

    /// Closes the connection, and tells when.
    #[must_use]
    pub fn hang_up(self) -> Instant {
        drop(self);
        Instant::now()
    }
}
