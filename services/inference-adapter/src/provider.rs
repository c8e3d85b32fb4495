//! What a provider is: a translation without I/O, and the list of those there are.

use bytes::Bytes;
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_proto::adapter::v1::{ChatResponse, EmbedResponse, ProviderKind, StreamChatResponse, Target};
use headgate_proto::inference::v1::{ChatRequest, Dialect, EmbedRequest};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::providers::{Echo, OpenAi};

/// The registry: one line a provider.
pub(crate) fn provider(kind: ProviderKind) -> Option<&'static dyn Provider> {
    match kind {
        ProviderKind::Unspecified => None,
        ProviderKind::Openai => Some(&OpenAi),
        ProviderKind::Echo => Some(&Echo),
    }
}

/// Translates between the contract and one kind of provider.
pub(crate) trait Provider: Send + Sync {
    /// Translates a chat question. What comes back beside the exchange is how its answer is read.
    fn chat(&self, call: &Call<'_>, ask: ChatAsk) -> Result<(Exchange, ChatForm), Failure>;
    /// Translates a whole chat answer.
    fn chat_answer(&self, form: ChatForm, body: Bytes) -> Result<ChatResponse, Failure>;
    /// Translates a streamed chat answer.
    fn chunks(&self, form: ChatForm) -> Box<dyn Chunks>;
    /// Translates an embeddings question.
    fn embed(&self, call: &Call<'_>, ask: EmbedRequest) -> Result<(Exchange, EmbedForm), Failure>;
    /// Translates an embeddings answer.
    fn embed_answer(&self, form: EmbedForm, body: Bytes) -> Result<EmbedResponse, Failure>;
    /// Where it may answer to somebody who only asks whether it is there, the likeliest first. Nothing for a kind that is
    /// built in.
    fn places(&self, call: &Call<'_>) -> Result<Vec<http::Request<Bytes>>, Failure>;
    /// What an answer other than 200 means, or a 200 that is no answer. `now_ms` is in unix milliseconds.
    fn failure(&self, status: StatusCode, headers: &HeaderMap, body: &[u8], now_ms: i64) -> Failure;
}

/// Turns the bytes of a stream into pieces of the contract, whatever reads they come in.
pub(crate) trait Chunks: Send {
    /// Adds a read.
    fn push(&mut self, read: Bytes);
    /// The next piece that is whole; `None` until more is pushed. A failure is the last.
    fn next(&mut self) -> Option<Result<StreamChatResponse, Failure>>;
    /// Whether the dialect's end marker came.
    fn done(&self) -> bool;
    /// The upstream's bytes ended. The last piece if one is left, a failure if the answer was not at its end.
    fn end(&mut self) -> Option<Result<StreamChatResponse, Failure>>;
}

/// What every question of one attempt shares.
pub(crate) struct Call<'a> {
    /// Where it goes.
    pub(crate) target: &'a Target,
    /// The provider's credential as a bearer header, where it has one.
    pub(crate) credential: Option<&'a HeaderValue>,
    /// The time, for answers made here.
    pub(crate) clock: &'a Clock,
    /// Bytes of the largest answer.
    pub(crate) max_response_bytes: usize,
}

/// A chat question.
pub(crate) struct ChatAsk {
    /// The question.
    pub(crate) request: ChatRequest,
    /// Replaces its output limit.
    pub(crate) cap: Option<u32>,
    /// Whether the answer is streamed.
    pub(crate) stream: bool,
    /// Whether the consumer wants the stream's usage chunk.
    pub(crate) include_usage: bool,
}

/// How a question is answered.
#[expect(clippy::large_enum_variant, reason = "moved twice an attempt: cheaper than an allocation")]
pub(crate) enum Exchange {
    /// By an upstream.
    Upstream(http::Request<Bytes>),
    /// Here: the bytes an upstream would send, read by read.
    Local(LocalBody),
}

/// An answer made here.
pub(crate) type LocalBody = Box<dyn Iterator<Item = Bytes> + Send>;

/// The encoding of a question, and so of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As protobuf, naming the model as the request did.
    Typed {
        /// The model's name in the request.
        model: std::sync::Arc<str>,
    },
    /// A public API's own.
    Dialect(Dialect),
}

/// How a chat answer is read.
#[derive(Clone, Debug)]
pub(crate) struct ChatForm {
    /// The encoding.
    pub(crate) encoding: Encoding,
    /// How many answers were asked for.
    pub(crate) choices: u32,
    /// Whether the consumer wants the usage chunk.
    pub(crate) include_usage: bool,
}

/// How an embeddings answer is read.
#[derive(Clone, Debug)]
pub(crate) struct EmbedForm {
    /// The encoding.
    pub(crate) encoding: Encoding,
    /// Whether vectors go to the consumer in base64.
    pub(crate) base64: bool,
}
