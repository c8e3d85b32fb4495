//! The edge and what it is built from.

use std::sync::Arc;

use bytes::Bytes;
use headgate_kit::clock::Clock;
use headgate_kit::conn::Conn;
use headgate_kit::strangers::Strangers;
use headgate_kit::tasks::Tasks;
use headgate_kit::vitals::Vitals;
use headgate_kit::workers::Workers;
use headgate_proto::FILE_DESCRIPTOR_SET;
use headgate_proto::inference::v1::InferenceServiceStub;
use headgate_proto::router::v1::RoutingServiceStub;
use prost_reflect::DescriptorPool;

use crate::Config;
use crate::metrics::Metrics;
use crate::openapi::Document;
use crate::transcode::{Services, Transcoder};

/// Room in an answer beyond what a request may have: a long answer of several choices, or vectors of many texts.
const MIN_ANSWER_BYTES: usize = 256 << 20;

/// What the edge needs from its process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The connection to the router's `InferenceService`.
    pub inference: Conn,
    /// The connection to the router's `RoutingService`.
    pub routing: Conn,
    /// Where the calls of each proto package are answered that are served as their protos say. Those of other packages
    /// are NOT_FOUND here.
    pub services: Services,
    /// How the process is.
    pub vitals: Vitals,
    /// Where metrics are registered.
    pub registry: prometheus::Registry,
    /// Dates request ids.
    pub clock: Clock,
    /// Owns the tasks of connections.
    pub tasks: Tasks,
    /// Where connections are driven.
    pub workers: Workers,
}

/// Why the contract cannot be served.
#[derive(Debug)]
pub struct ContractError(String);

impl std::fmt::Display for ContractError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the contract cannot be served over HTTP: {}", self.0)
    }
}

impl std::error::Error for ContractError {}

/// The REST server. Cheap to clone.
#[derive(Clone)]
pub struct Edge(pub(crate) Arc<Shared>);

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) inference: InferenceServiceStub<Conn>,
    pub(crate) routing: RoutingServiceStub<Conn>,
    pub(crate) transcoder: Transcoder,
    pub(crate) document: Document,
    pub(crate) vitals: Vitals,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) workers: Workers,
    pub(crate) metrics: Metrics,
    /// Addresses that failed to present a valid key.
    pub(crate) strangers: Strangers,
}

impl Edge {
    /// An edge that answers with what `deps.inference` says. Nothing is listened on before [`Edge::serve`].
    ///
    /// `config` must have no [problems](Config::problems).
    ///
    /// # Errors
    /// When the contract says something of HTTP that cannot be followed.
    pub fn new(config: Config, deps: Deps) -> Result<Self, ContractError> {
        let contract = headgate_proto::descriptors();
        let contract = contract.map_err(|cause| ContractError(cause.to_string()))?;
        Self::of(contract, Bytes::from_static(FILE_DESCRIPTOR_SET), config, deps)
    }

    /// The same for any contract, whose comments stand in an encoded `FileDescriptorSet`.
    pub(crate) fn of(
        contract: &DescriptorPool,
        commented: Bytes,
        config: Config,
        deps: Deps,
    ) -> Result<Self, ContractError> {
        let answer_bytes = MIN_ANSWER_BYTES.max(config.largest_body());
        let inference = InferenceServiceStub::new(deps.inference).max_decoding_message_size(answer_bytes);
        let transcoder = Transcoder::new(contract, deps.services, answer_bytes).map_err(ContractError)?;
        let document = Document::new(contract, commented);
        let metrics = Metrics::new(&deps.registry, transcoder.templates());
        let routing = RoutingServiceStub::new(deps.routing);
        let Deps { vitals, clock, tasks, workers, .. } = deps;
        let strangers = Strangers::new(&config.failed_authentications, clock.clone());
        Ok(Self(Arc::new(Shared {
            config,
            inference,
            routing,
            transcoder,
            document,
            vitals,
            clock,
            tasks,
            workers,
            metrics,
            strangers,
        })))
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").field("config", &self.0.config).finish_non_exhaustive()
    }
}
