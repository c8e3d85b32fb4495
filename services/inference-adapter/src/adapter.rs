//! The service: decodes the target, runs one attempt, counts it.

use std::sync::Arc;

use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::conn::{self, Conn};
use headgate_kit::identity::require_peer;
use headgate_kit::seal::MasterKey;
use headgate_kit::tasks::Tasks;
use headgate_kit::trust::TlsError;
use headgate_proto::adapter::v1::adapter_service_server::{AdapterService, AdapterServiceServer};
use headgate_proto::adapter::v1::{
    ChatRequest, ChatResponse, DirectAdapterService, EmbedRequest, EmbedResponse, ProbeRequest,
    ProbeResponse, StreamChatRequest, Target,
};
use headgate_proto::inference::v1 as inference;
use http::HeaderValue;
use prometheus::Registry;
use tonic::{Request, Response, Status};

use crate::config::Config;
use crate::credential::Credentials;
use crate::deadlines::{Limits, Watch};
use crate::driver::{Driver, Opened, Pieces, redacted};
use crate::metrics::{Attempt, Metrics};
use crate::probe;
use crate::provider::{Call, ChatAsk, ChatForm, Exchange, Provider, provider};

/// Who may call.
const CALLERS: &[&str] = &["router", "catalog"];
/// Who asks whether an upstream is there.
const PROBERS: &[&str] = &["catalog"];

/// What the adapter needs of its process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The time.
    pub clock: Clock,
    /// Owns what outlives a call.
    pub tasks: Tasks,
    /// Where metrics are registered.
    pub registry: Registry,
    /// Opens providers' credentials.
    pub master_key: MasterKey,
}

/// Why the adapter cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// TLS cannot be set up, or `ca_file` cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A metric cannot be made.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Speaks to model providers. Cheap to clone; clones share connections.
#[derive(Clone, Debug)]
pub struct Adapter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    clock: Clock,
    driver: Driver,
    credentials: Credentials,
    metrics: Metrics,
}

impl Adapter {
    /// Builds the adapter. Nothing is connected yet, and no upstream is needed.
    ///
    /// # Errors
    /// When TLS or metrics cannot be set up, which is a fault of the build.
    pub fn build(config: Config, deps: Deps) -> Result<Self, BuildError> {
        let metrics = Metrics::new(&deps.registry)?;
        Ok(Self(Arc::new(Inner {
            driver: Driver::new(&config, deps.clock.clone(), deps.tasks)?,
            credentials: Credentials::new(deps.master_key),
            metrics,
            clock: deps.clock,
            config,
        })))
    }

    /// The service, for peers only.
    #[must_use]
    pub fn adapter_service(&self) -> AdapterServiceServer<Self> {
        AdapterServiceServer::new(self.clone())
            .max_decoding_message_size(self.0.config.max_message_bytes)
            .max_encoding_message_size(self.0.config.max_message_bytes)
    }

    /// A connection to the service within this process.
    #[must_use]
    pub fn conn(&self) -> Conn {
        let direct: Arc<dyn DirectAdapterService> = Arc::new(self.clone());
        conn::local(self.adapter_service()).with_direct(direct)
    }

    /// Begins an attempt at a target.
    fn begin(&self, target: Option<Target>) -> Result<Begun<'_>, Failure> {
        let inner = &*self.0;
        let (target, provider) = known(target)?;
        let mut attempt = Attempt::begin(inner.metrics.provider(&target.provider_id));
        let credential = inner.credentials.header(&target).inspect_err(|failure| attempt.failed(failure))?;
        let watch = Watch::begin(Limits::new(&inner.config, target.deadlines.as_ref()));
        Ok(Begun { inner, provider, target, credential, watch, attempt })
    }
}

/// A target, and how it is spoken to.
fn known(target: Option<Target>) -> Result<(Target, &'static dyn Provider), Failure> {
    let target = target.ok_or_else(|| Failure::invalid("target", "target is required"))?;
    let provider = provider(target.kind())
        .ok_or_else(|| Failure::invalid("target.kind", "target.kind is not a known provider"))?;
    Ok((target, provider))
}

/// One attempt.
struct Begun<'a> {
    inner: &'a Inner,
    provider: &'static dyn Provider,
    target: Target,
    credential: Option<HeaderValue>,
    watch: Watch,
    attempt: Attempt,
}

impl Begun<'_> {
    fn call(&self) -> Call<'_> {
        Call {
            target: &self.target,
            credential: self.credential.as_ref(),
            clock: &self.inner.clock,
            max_response_bytes: self.inner.config.max_response_bytes,
        }
    }

    async fn chat(&mut self, exchange: Exchange, form: ChatForm) -> Result<ChatResponse, Failure> {
        let body = self.inner.driver.whole(self.provider, exchange, &mut self.watch).await?;
        self.provider.chat_answer(form, body)
    }

    async fn embed(&mut self, ask: inference::EmbedRequest) -> Result<EmbedResponse, Failure> {
        let (exchange, form) = self.provider.embed(&self.call(), ask)?;
        let body = self.inner.driver.whole(self.provider, exchange, &mut self.watch).await?;
        self.provider.embed_answer(form, body)
    }

    async fn stream(mut self, ask: ChatAsk) -> Result<Pieces, Failure> {
        let opened = self.open(ask).await;
        let (source, chunks) = match opened {
            Ok(opened) => opened,
            Err(failure) => {
                self.attempt.failed(&failure);
                return Err(redacted(failure, self.credential.as_ref()));
            }
        };
        let tasks = self.inner.driver.tasks().clone();
        Ok(Pieces::new(source, chunks, self.watch, self.credential, self.attempt, tasks))
    }

    async fn open(&mut self, ask: ChatAsk) -> Result<Opened, Failure> {
        let (exchange, form) = self.provider.chat(&self.call(), ask)?;
        let source = self.inner.driver.open(self.provider, exchange, &mut self.watch).await?;
        Ok((source, self.provider.chunks(form)))
    }

    /// Counts how it ended.
    fn ended<T>(mut self, result: Result<T, Failure>) -> Result<Response<T>, Status> {
        self.attempt.ended(&result);
        match result {
            Ok(answer) => Ok(Response::new(answer)),
            Err(failure) => Err(redacted(failure, self.credential.as_ref()).into()),
        }
    }
}

fn no_request() -> Failure {
    Failure::invalid("request", "request is required")
}

#[tonic::async_trait]
impl AdapterService for Adapter {
    type StreamChatStream = Pieces;

    async fn chat(&self, request: Request<ChatRequest>) -> Result<Response<ChatResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let ChatRequest { target, request, output_token_cap: cap } = request.into_inner();
        let request = request.ok_or_else(no_request)?;
        let mut attempt = self.begin(target)?;
        let ask = ChatAsk { request, cap, stream: false, include_usage: false };
        // The question is gone when the wait begins, so that the future need not hold it.
        let result = match attempt.provider.chat(&attempt.call(), ask) {
            Ok((exchange, form)) => attempt.chat(exchange, form).await,
            Err(failure) => Err(failure),
        };
        attempt.ended(result)
    }

    async fn stream_chat(&self, request: Request<StreamChatRequest>) -> Result<Response<Pieces>, Status> {
        require_peer(&request, CALLERS)?;
        let StreamChatRequest { target, request, output_token_cap: cap, include_usage } =
            request.into_inner();
        let request = request.ok_or_else(no_request)?;
        let ask = ChatAsk { request, cap, stream: true, include_usage };
        Ok(Response::new(self.begin(target)?.stream(ask).await?))
    }

    async fn embed(&self, request: Request<EmbedRequest>) -> Result<Response<EmbedResponse>, Status> {
        require_peer(&request, CALLERS)?;
        let EmbedRequest { target, request } = request.into_inner();
        let ask = request.ok_or_else(no_request)?;
        let mut attempt = self.begin(target)?;
        let result = attempt.embed(ask).await;
        attempt.ended(result)
    }

    async fn probe(&self, request: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        require_peer(&request, PROBERS)?;
        let inner = &*self.0;
        let (target, provider) = known(request.into_inner().target)?;
        let credential = match inner.credentials.header(&target) {
            Ok(credential) => credential,
            Err(failure) => return Ok(Response::new(probe::unusable(&failure))),
        };
        let call = Call {
            target: &target,
            credential: credential.as_ref(),
            clock: &inner.clock,
            max_response_bytes: inner.config.max_response_bytes,
        };
        let mut watch = Watch::begin(Limits::new(&inner.config, target.deadlines.as_ref()));
        Ok(Response::new(probe::probe(&inner.driver, provider, &call, &mut watch).await?))
    }
}
