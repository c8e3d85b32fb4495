//! Streamed answers of OpenAI's API.

mod joined;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use headgate_dialect::openai::stream::{Event, EventKind, Scanner};
use headgate_dialect::openai::typed::decode_chat_event;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::adapter::v1::StreamChatResponse;
use headgate_proto::inference::v1::stream_chat_response::Encoding as Piece;
use headgate_proto::inference::v1::{self as inference, TokenUsage};

use self::joined::Joined;
use crate::failure;
use crate::provider::{ChatForm, Chunks, Encoding};

const END: &[u8] = b"data: [DONE]\n\n";

/// Passes events on as they came. In dialect encoding all whole events of a read are one piece; typed, one event is.
pub(super) struct OpenAiChunks {
    form: ChatForm,
    scanner: Scanner,
    /// The latest read, of which most events are slices.
    read: Bytes,
    /// Choices whose end was seen.
    finished: u32,
    usage: Usage,
    /// A failure that waits for the events before it to be passed on.
    failed: Option<Failure>,
    /// Nothing that follows belongs to the answer.
    over: bool,
    done: bool,
}

/// The contract tells usage once. Some servers tell it with every chunk; then the last counts.
#[derive(Default)]
enum Usage {
    #[default]
    Untold,
    Known(TokenUsage),
    Told,
}

impl Usage {
    fn see(&mut self, usage: Option<TokenUsage>) {
        if let (Some(usage), Self::Untold | Self::Known(_)) = (usage, &self) {
            *self = Self::Known(usage);
        }
    }

    fn tell(&mut self) -> Option<TokenUsage> {
        match std::mem::replace(self, Self::Told) {
            Self::Known(usage) => Some(usage),
            before => {
                *self = before;
                None
            }
        }
    }
}

impl OpenAiChunks {
    /// Nothing has come yet.
    pub(super) fn new(form: ChatForm) -> Self {
        Self {
            form,
            scanner: Scanner::new(),
            read: Bytes::new(),
            finished: 0,
            usage: Usage::default(),
            failed: None,
            over: false,
            done: false,
        }
    }

    /// The next event that belongs to the answer. A failure is kept until the events before it are passed on.
    fn event(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        match self.scanner.next()?.map_err(|invalid| failure::unreadable(&invalid)).and_then(checked) {
            Ok(event) => {
                self.usage.see(event.usage);
                self.finished = self.finished.saturating_add(u32::from(event.finish));
                self.done = event.kind == EventKind::Done;
                self.over = self.done;
                Some(event)
            }
            Err(failure) => {
                self.failed = Some(failure);
                self.over = true;
                None
            }
        }
    }

    fn dialect_piece(&mut self) -> Option<StreamChatResponse> {
        let mut joined = Joined::default();
        let mut content_chunks = 0;
        let mut usage = None;
        while let Some(event) = self.event() {
            match event.kind {
                EventKind::Content => content_chunks += 1,
                EventKind::Usage(_) => usage = self.usage.tell(),
                EventKind::Done => usage = usage.or_else(|| self.usage.tell()),
                EventKind::Null => continue,
                _ => {}
            }
            if self.form.include_usage || !matches!(event.kind, EventKind::Usage(_)) {
                joined.add(&self.read, event.raw);
            }
        }
        // Events that are slices of the read live on; the rest of the buffer can go.
        let events = joined.finish(std::mem::take(&mut self.read));
        if events.is_none() && usage.is_none() {
            return None;
        }
        Some(piece(events.map(Piece::DialectEvents), usage, content_chunks))
    }

    fn typed_piece(&mut self, model: &str) -> Option<Result<StreamChatResponse, Failure>> {
        loop {
            let event = self.event()?;
            let delta = match event.kind {
                EventKind::Comment | EventKind::Null => continue,
                EventKind::Done => return Some(Ok(piece(None, Some(self.usage.tell()?), 0))),
                EventKind::Usage(_) if !self.form.include_usage => {
                    return Some(Ok(piece(None, self.usage.tell(), 0)));
                }
                _ => match decode_chat_event(&event.data(), model) {
                    Ok(delta) => delta,
                    Err(invalid) => return Some(Err(failure::unreadable(&invalid))),
                },
            };
            let (usage, content_chunks) = match event.kind {
                EventKind::Usage(_) => (self.usage.tell(), 0),
                kind => (None, u32::from(kind == EventKind::Content)),
            };
            return Some(Ok(piece(Some(Piece::Typed(delta)), usage, content_chunks)));
        }
    }
}

impl Chunks for OpenAiChunks {
    fn push(&mut self, read: Bytes) {
        self.read = read.clone();
        self.scanner.push(read);
    }

    fn next(&mut self) -> Option<Result<StreamChatResponse, Failure>> {
        let piece = match &self.form.encoding {
            Encoding::Dialect(_) => self.dialect_piece().map(Ok),
            Encoding::Typed { model } => {
                let model = std::sync::Arc::clone(model);
                self.typed_piece(&model)
            }
        };
        piece.or_else(|| self.failed.take().map(Err))
    }

    fn done(&self) -> bool {
        self.done
    }

    fn end(&mut self) -> Option<Result<StreamChatResponse, Failure>> {
        if self.done {
            return None;
        }
        if !self.scanner.is_empty() {
            // Some servers leave out the blank line after their last event.
            self.push(Bytes::from_static(b"\n\n"));
            let last = self.next();
            return if self.done { last } else { Some(Err(failure::cut())) };
        }
        // Some leave out the end marker; the answer is whole all the same when every choice has come to its end.
        if self.finished < self.form.choices.max(1) {
            return Some(Err(failure::cut()));
        }
        self.push(Bytes::from_static(END));
        self.next()
    }
}

/// An event that can be passed on.
fn checked(event: Event) -> Result<Event, Failure> {
    match event.kind {
        EventKind::Error(told) => Err(failure::in_stream(*told)),
        EventKind::Other if !event.data().trim_ascii_start().starts_with(b"{") => {
            let message = "the upstream's stream holds data that is no JSON object";
            Err(Failure::new(ErrorReason::UpstreamInvalid, message))
        }
        // A page or a document where events were promised. To a reader of events it would be nothing at all.
        EventKind::Comment if matches!(event.raw.first(), Some(b'<' | b'{' | b'[')) => {
            let message = "the upstream's stream holds something else than events";
            Err(Failure::new(ErrorReason::UpstreamInvalid, message))
        }
        _ => Ok(event),
    }
}

fn piece(encoding: Option<Piece>, usage: Option<TokenUsage>, content_chunks: u32) -> StreamChatResponse {
    StreamChatResponse { response: Some(inference::StreamChatResponse { encoding, usage }), content_chunks }
}
