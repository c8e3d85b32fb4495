//! What a mock upstream does with a request.

use std::time::Duration;

/// What a mock upstream does with a request.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// Answers as OpenAI documents it: chat as JSON or as a stream, whatever was asked, and embeddings.
    Answer(Answer),
    /// Answers with exactly this, whatever was asked.
    Reply {
        /// The HTTP status.
        status: u16,
        /// Headers beside `content-length`.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: String,
    },
    /// Takes the request and never answers.
    HangBeforeHead,
    /// Takes the request and resets the connection.
    ResetBeforeHead,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self::Answer(Answer::default())
    }
}

impl From<Answer> for Behaviour {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl Behaviour {
    /// A JSON reply with a status other than the usual.
    #[must_use]
    pub fn status(status: u16, body: &str) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self::Reply { status, headers, body: body.to_owned() }
    }

    /// An error as OpenAI documents it.
    #[must_use]
    pub fn openai_error(status: u16, kind: &str, code: &str, message: &str) -> Self {
        let error = serde_json::json!({"message": message, "type": kind, "param": null, "code": code});
        Self::status(status, &serde_json::json!({ "error": error }).to_string())
    }

    /// The same reply with a header more.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Reply { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// A documented answer and how it goes wrong.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Content chunks, each one token. The request's output limit may make it less.
    pub chunks: u32,
    /// How long the response head and the first chunk take.
    pub first_delay: Duration,
    /// How long every further piece of a stream takes.
    pub delay: Duration,
    /// Whether usage is told.
    pub usage: UsageReport,
    /// How a stream ends after its content chunks.
    pub end: End,
    /// The prompt's tokens as usage tells them.
    pub prompt_tokens: u32,
    /// The part of them that is told as cached.
    pub cached_tokens: u32,
    /// The part of the answer's tokens that is told as reasoning.
    pub reasoning_tokens: u32,
    /// Members that OpenAI doesn't document, put into every object as JSON text, e.g. `"x":1`. Empty means none.
    pub extra: String,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            chunks: 5,
            first_delay: Duration::ZERO,
            delay: Duration::ZERO,
            usage: UsageReport::AsAsked,
            end: End::Done,
            prompt_tokens: 7,
            cached_tokens: 0,
            reasoning_tokens: 0,
            extra: String::new(),
        }
    }
}

impl Answer {
    /// A stream of so many chunks, with a pause before every one but the first.
    #[must_use]
    pub fn paced(chunks: u32, delay: Duration) -> Self {
        Self { chunks, delay, ..Self::default() }
    }

    /// The same answer with another end.
    #[must_use]
    pub fn ending(self, end: End) -> Self {
        Self { end, ..self }
    }
}

/// Whether usage is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageReport {
    /// In every JSON answer, and in streams that ask for it.
    AsAsked,
    /// Never, which leaves the gateway to estimate.
    Never,
}

/// How a stream ends after its content chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As documented: finish reason, usage where asked, `[DONE]`.
    Done,
    /// As documented, but the body and the connection stay open after `[DONE]`.
    DoneThenOpen,
    /// Not at all: silence on an open connection.
    Hang,
    /// With a reset of the connection.
    Reset,
    /// With a clean end of the body, but without finish reason and `[DONE]`.
    Eof,
    /// With an event that isn't JSON, then a clean end of the body.
    Garbage,
    /// With an event that holds an OpenAI error, then a clean end of the body.
    ErrorEvent,
}
