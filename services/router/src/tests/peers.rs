//! Auth, catalog, budget and adapter in one: what they answer is fixed, and what they are asked is kept.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{Stream, stream};
use headgate_kit::error::Failure;
use headgate_kit::spool::Spool;
use headgate_kit::tasks::Tasks;
use headgate_kit::watch::Feed;
use headgate_proto::adapter::v1 as adapter;
use headgate_proto::adapter::v1::adapter_service_server::AdapterService;
use headgate_proto::auth::v1 as auth;
use headgate_proto::auth::v1::authentication_service_server::AuthenticationService;
use headgate_proto::budget::v1 as budget;
use headgate_proto::budget::v1::admission_service_server::AdmissionService;
use headgate_proto::catalog::v1 as catalog;
use headgate_proto::catalog::v1::catalog_watch_service_server::CatalogWatchService;
use headgate_proto::inference::v1 as inference;
use hmac::{Hmac, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;
use tonic::{Request, Response, Status};

/// The one key there is.
pub(crate) const KEY: &str = "sk-demo.secret";
const PEPPER: &[u8] = b"pepper";
const NANO: i64 = 1_000_000_000;

type Messages<M> = Pin<Box<dyn Stream<Item = Result<M, Status>> + Send>>;
type Answer<M> = Result<Response<M>, Status>;

pub(super) struct Peers {
    tasks: Tasks,
    spool: Spool,
    pub(super) seen: Mutex<Seen>,
    /// What the next attempts, or reports of uses, fail with.
    pub(super) failures: Mutex<VecDeque<Failure>>,
    /// Whether admissions are never decided.
    pub(super) undecided: AtomicBool,
    /// The longest answer, in tokens, that is left in the budget.
    pub(super) output_token_cap: Mutex<Option<u32>>,
}

/// What peers were asked, and how many requests the spool held open when they were.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) admits: Vec<(budget::AdmitRequest, usize)>,
    pub(super) settles: Vec<(budget::SettleRequest, usize)>,
    pub(super) releases: Vec<budget::ReleaseRequest>,
    pub(super) chats: Vec<(adapter::ChatRequest, usize)>,
    pub(super) streams: Vec<(adapter::StreamChatRequest, usize)>,
    pub(super) embeds: Vec<(adapter::EmbedRequest, usize)>,
    pub(super) key_uses: Vec<auth::ReportKeyUsesRequest>,
}

impl Peers {
    pub(super) fn new(tasks: Tasks, spool: Spool) -> Self {
        let (seen, failures, undecided, output_token_cap) = Default::default();
        Self { tasks, spool, seen, failures, undecided, output_token_cap }
    }

    fn attempt<M>(&self, answer: M) -> Answer<M> {
        match self.failures.lock().pop_front() {
            Some(failure) => Err(failure.into()),
            None => Ok(Response::new(answer)),
        }
    }

    fn watch<M: Clone + Send + Sync + 'static>(&self, snapshot: M, heartbeat: M) -> Answer<Messages<M>> {
        let feed = Feed::new(self.tasks.stopping());
        Ok(Response::new(Box::pin(feed.follow(move || snapshot.clone(), move || Some(heartbeat.clone())))))
    }
}

fn dialect_body() -> inference::DialectBody {
    inference::DialectBody { dialect: 1, body: br#"{"choices":[]}"#[..].into() }
}

fn told_usage() -> inference::TokenUsage {
    inference::TokenUsage { prompt_tokens: 12, completion_tokens: 40, ..Default::default() }
}

#[tonic::async_trait]
impl AdapterService for Peers {
    type StreamChatStream = Messages<adapter::StreamChatResponse>;

    async fn chat(&self, request: Request<adapter::ChatRequest>) -> Answer<adapter::ChatResponse> {
        self.seen.lock().chats.push((request.into_inner(), self.spool.open_entries()));
        let encoding = Some(inference::chat_response::Encoding::Dialect(dialect_body()));
        let response = Some(inference::ChatResponse { encoding, usage: Some(told_usage()) });
        self.attempt(adapter::ChatResponse { response, output_bytes: 160 })
    }

    async fn stream_chat(
        &self,
        request: Request<adapter::StreamChatRequest>,
    ) -> Answer<Self::StreamChatStream> {
        self.seen.lock().streams.push((request.into_inner(), self.spool.open_entries()));
        let piece = |events: &'static str, usage| {
            let encoding = inference::stream_chat_response::Encoding::DialectEvents(events.into());
            let response = Some(inference::StreamChatResponse { encoding: Some(encoding), usage });
            Ok(adapter::StreamChatResponse { response, content_chunks: 1 })
        };
        let pieces = [piece("data: {}\n\n", None), piece("data: [DONE]\n\n", Some(told_usage()))];
        let pieces: Self::StreamChatStream = Box::pin(stream::iter(pieces));
        self.attempt(pieces)
    }

    async fn embed(&self, request: Request<adapter::EmbedRequest>) -> Answer<adapter::EmbedResponse> {
        self.seen.lock().embeds.push((request.into_inner(), self.spool.open_entries()));
        let encoding = Some(inference::embed_response::Encoding::Dialect(dialect_body()));
        let response = Some(inference::EmbedResponse { encoding, usage: Some(told_usage()) });
        self.attempt(adapter::EmbedResponse { response })
    }

    async fn probe(&self, _: Request<adapter::ProbeRequest>) -> Answer<adapter::ProbeResponse> {
        Err(Status::unimplemented("a router does not probe"))
    }
}

#[tonic::async_trait]
impl AdmissionService for Peers {
    async fn admit(&self, request: Request<budget::AdmitRequest>) -> Answer<budget::AdmitResponse> {
        self.seen.lock().admits.push((request.into_inner(), self.spool.open_entries()));
        if self.undecided.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let output_token_cap = *self.output_token_cap.lock();
        let admitted = budget::Admitted { expires_at_unix_ms: i64::MAX, output_token_cap };
        let budget = budget::Budget { limit_nano_usd: 100 * NANO, ..Default::default() };
        let status = budget::BudgetStatus {
            budget: Some(budget),
            spent_nano_usd: NANO / 2 + 1,
            held_nano_usd: NANO,
            ..Default::default()
        };
        Ok(Response::new(budget::AdmitResponse {
            outcome: Some(budget::admit_response::Outcome::Admitted(admitted)),
            budget: Some(status),
        }))
    }

    async fn extend(&self, _: Request<budget::ExtendRequest>) -> Answer<budget::ExtendResponse> {
        Ok(Response::new(budget::ExtendResponse { expires_at_unix_ms: i64::MAX }))
    }

    async fn settle(&self, request: Request<budget::SettleRequest>) -> Answer<budget::SettleResponse> {
        self.seen.lock().settles.push((request.into_inner(), self.spool.open_entries()));
        Ok(Response::new(budget::SettleResponse {}))
    }

    async fn release(&self, request: Request<budget::ReleaseRequest>) -> Answer<budget::ReleaseResponse> {
        self.seen.lock().releases.push(request.into_inner());
        Ok(Response::new(budget::ReleaseResponse {}))
    }
}

#[tonic::async_trait]
impl AuthenticationService for Peers {
    type WatchKeysStream = Messages<auth::WatchKeysResponse>;

    async fn verify_api_key(
        &self,
        _: Request<auth::VerifyApiKeyRequest>,
    ) -> Answer<auth::VerifyApiKeyResponse> {
        Ok(Response::new(auth::VerifyApiKeyResponse { key: Some(key()) }))
    }

    async fn watch_keys(&self, _: Request<auth::WatchKeysRequest>) -> Answer<Self::WatchKeysStream> {
        self.watch(keys(), auth::WatchKeysResponse::default())
    }

    async fn find_api_key(&self, _: Request<auth::FindApiKeyRequest>) -> Answer<auth::FindApiKeyResponse> {
        Err(Status::unimplemented("routers do not ask"))
    }

    async fn find_tenant(&self, _: Request<auth::FindTenantRequest>) -> Answer<auth::FindTenantResponse> {
        Err(Status::unimplemented("routers do not ask"))
    }

    async fn report_key_uses(
        &self,
        request: Request<auth::ReportKeyUsesRequest>,
    ) -> Answer<auth::ReportKeyUsesResponse> {
        self.seen.lock().key_uses.push(request.into_inner());
        self.attempt(auth::ReportKeyUsesResponse {})
    }
}

/// Every key: the only one.
pub(crate) fn keys() -> auth::WatchKeysResponse {
    auth::WatchKeysResponse { snapshot: true, keys: vec![key()], pepper: PEPPER.into(), ..Default::default() }
}

/// The key that [`KEY`] stands for.
pub(crate) fn key() -> auth::KeyRecord {
    let mut mac = Hmac::<Sha256>::new_from_slice(PEPPER).unwrap();
    mac.update(b"secret");
    auth::KeyRecord {
        key_id: "key_1".into(),
        tenant_id: "tenant_1".into(),
        prefix: "demo".into(),
        secret_hmac: mac.finalize().into_bytes().to_vec().into(),
        tenant_status: auth::TenantStatus::Active.into(),
        ..Default::default()
    }
}

#[tonic::async_trait]
impl CatalogWatchService for Peers {
    type WatchCatalogStream = Messages<catalog::WatchCatalogResponse>;

    async fn watch_catalog(
        &self,
        _: Request<catalog::WatchCatalogRequest>,
    ) -> Answer<Self::WatchCatalogStream> {
        self.watch(catalog(), catalog::WatchCatalogResponse::default())
    }
}

/// The whole catalog: two providers, and the model `m`.
pub(crate) fn catalog() -> catalog::WatchCatalogResponse {
    let provider = |id: &str| catalog::ProviderRecord {
        provider: Some(catalog::Provider {
            id: id.into(),
            is_active: true,
            is_healthy: true,
            ..Default::default()
        }),
        credential: Some(adapter::SealedSecret { key_id: "master".into(), ciphertext: b"x"[..].into() }),
    };
    catalog::WatchCatalogResponse {
        revision: 7,
        snapshot: true,
        providers: vec![provider("provider_1"), provider("provider_2")],
        models: vec![model()],
        ..Default::default()
    }
}

/// Its second target is a last resort, so that the order is known.
fn model() -> catalog::Model {
    let target = |n: u32, weight| catalog::ModelTarget {
        id: format!("target_{n}"),
        provider_id: format!("provider_{n}"),
        upstream_model: format!("upstream-{n}"),
        weight,
        price: None,
    };
    let price = catalog::Price {
        input_nano_usd_per_1k_tokens: 150_000,
        output_nano_usd_per_1k_tokens: 600_000,
        cached_input_nano_usd_per_1k_tokens: None,
        request_nano_usd: None,
    };
    catalog::Model {
        id: "model_1".into(),
        name: "m".into(),
        enabled: true,
        operations: vec![catalog::Operation::Chat.into(), catalog::Operation::Embeddings.into()],
        price: Some(price),
        targets: vec![target(1, 1), target(2, 0)],
        max_output_tokens: 1_000,
        ..Default::default()
    }
}
