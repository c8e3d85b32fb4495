//! An edge that listens, and a client without conveniences.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use headgate_kit::clock::Clock;
use headgate_kit::conn;
use headgate_kit::server::Readiness;
use headgate_kit::tasks::Tasks;
use headgate_kit::vitals::Vitals;
use headgate_kit::workers::Workers;
use headgate_proto::inference::v1::inference_service_server::InferenceServiceServer;
use headgate_proto::router::v1::routing_service_server::RoutingServiceServer;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prometheus::Registry;
use prost_reflect::DescriptorPool;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::router::{Scripted, Seen};
use crate::{Config, Deps, Edge, Services};

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) router: Scripted,
    pub(super) registry: Registry,
    pub(super) stop: CancellationToken,
    pub(super) served: JoinHandle<()>,
}

/// A whole answer.
pub(super) struct Answered {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answered {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Server {
    pub(super) async fn start(config: Config) -> Self {
        Self::start_at(config, Clock::system()).await
    }

    /// One whose time is told by `clock`.
    pub(super) async fn start_at(config: Config, clock: Clock) -> Self {
        let contract = DescriptorPool::decode(headgate_proto::FILE_DESCRIPTOR_SET).unwrap();
        Self::start_as(&contract, config, clock, Services::new()).await
    }

    /// One that serves another contract.
    pub(super) async fn start_with(contract: &DescriptorPool, services: Services) -> Self {
        Self::start_as(contract, Config::default(), Clock::system(), services).await
    }

    /// The same with settings of its own.
    pub(super) async fn start_configured(
        contract: &DescriptorPool,
        config: Config,
        services: Services,
    ) -> Self {
        Self::start_as(contract, config, Clock::system(), services).await
    }

    async fn start_as(contract: &DescriptorPool, config: Config, clock: Clock, services: Services) -> Self {
        assert_eq!(config.problems(), []);
        let (router, registry) = (Scripted::default(), Registry::new());
        let inference = conn::local(InferenceServiceServer::new(router.clone()));
        let (tasks, workers) = (Tasks::new(), Workers::here());
        let routing = conn::local(RoutingServiceServer::new(router.clone()));
        let deps = Deps {
            inference,
            routing,
            services,
            vitals: Vitals::new(Readiness::default(), tasks.clone()),
            registry: registry.clone(),
            clock,
            tasks,
            workers,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let edge = Edge::of(contract, contract.encode_to_vec().into(), config, deps).unwrap();
        let served = tokio::spawn(edge.serve(listener, stop.clone(), Duration::from_secs(2)));
        Self { address, router, registry, stop, served }
    }

    /// Sends one request on a connection of its own. The response ends with the connection's task.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> (Response<Incoming>, JoinHandle<()>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        // How the connection ends is for the response's reader to see.
        let connection = tokio::spawn(async move { drop(connection.await) });
        let response = client.send_request(request).await.unwrap();
        (response, connection)
    }

    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> Answered {
        let (parts, body) = self.send(request).await.0.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answered { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> Answered {
        self.ask(request("GET", path, "")).await
    }

    pub(super) async fn chat(&self, body: &str) -> Answered {
        self.ask(request("POST", "/v1/chat/completions", body)).await
    }

    /// The only call the router saw.
    pub(super) fn seen(&self) -> Seen {
        let seen = self.router.seen.lock();
        assert_eq!(seen.len(), 1);
        seen[0].clone()
    }

    pub(super) fn metric(&self, line: &str) -> bool {
        headgate_kit::metrics::render(&self.registry).lines().any(|l| l == line)
    }
}

pub(super) fn request(method: &str, path: &str, body: &str) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri(path).header("host", "edge");
    let builder = if body.is_empty() { builder } else { builder.header("content-type", "application/json") };
    builder.body(Full::from(body.to_owned())).unwrap()
}

/// A chat request that asks `model` to do its part.
pub(super) fn prompt(model: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"{model}","stream":{stream},"messages":[{{"role":"user","content":"hi"}}],"unknown":1.0}}"#
    )
}

/// Fails the test when `event` does not come, or takes longer than even a busy machine does.
pub(super) async fn soon(event: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(2), event).await.expect("it did not come");
}
