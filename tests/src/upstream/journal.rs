//! What a mock upstream saw and did.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The path, e.g. `/v1/chat/completions`.
    pub path: String,
    /// The headers as received.
    pub headers: HeaderMap,
    /// The body, byte by byte as received.
    pub body: Bytes,
    /// When it had arrived.
    pub received_at: Instant,
    /// When each content chunk was given to the connection.
    pub chunks_at: Vec<Instant>,
    /// Tokens produced.
    pub tokens: u32,
    /// When the client closed the connection before the answer was complete. `None` when it didn't.
    pub closed_early_at: Option<Instant>,
    /// Whether the answer was given to the end of its script.
    pub completed: bool,
}

impl Entry {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the gateway sends JSON")
    }

    /// The body as text.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the gateway sends UTF-8")
    }
}

/// The entries of one upstream.
#[derive(Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<Entry>>>);

impl Journal {
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn open(&self, path: String, headers: HeaderMap, body: Bytes) -> Page {
        let mut entries = self.0.lock().unwrap();
        entries.push(Entry {
            path,
            headers,
            body,
            received_at: Instant::now(),
            chunks_at: Vec::new(),
            tokens: 0,
            closed_early_at: None,
            completed: false,
        });
        Page { journal: self.clone(), index: entries.len() - 1 }
    }
}

/// Writes one entry. Dropped before [`Page::complete`], it notes that the client went away.
pub(super) struct Page {
    journal: Journal,
    index: usize,
}

impl Page {
    fn edit(&self, change: impl FnOnce(&mut Entry)) {
        change(&mut self.journal.0.lock().unwrap()[self.index]);
    }

    pub(super) fn chunk(&self, tokens: u32) {
        self.edit(|entry| {
            entry.chunks_at.push(Instant::now());
            entry.tokens += tokens;
        });
    }

    pub(super) fn produced(&self, tokens: u32) {
        self.edit(|entry| entry.tokens += tokens);
    }

    pub(super) fn complete(&self) {
        self.edit(|entry| entry.completed = true);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.edit(|entry| {
            if !entry.completed {
                entry.closed_early_at = Some(Instant::now());
            }
        });
    }
}
