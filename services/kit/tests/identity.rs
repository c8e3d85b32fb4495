//! Services know each other over real sockets by what is configured, and nobody else is taken for one.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use headgate_kit::clock::Clock;
use headgate_kit::conn::{Conn, remote};
use headgate_kit::identity::{Config, Identity, Tls, require_peer};
use headgate_kit::origin;
use headgate_kit::server::{Bounds, bind, serve_grpc};
use headgate_kit::strangers;
use headgate_kit::tasks::Tasks;
use headgate_proto::router::v1::routing_service_client::RoutingServiceClient;
use headgate_proto::router::v1::routing_service_server::{RoutingService, RoutingServiceServer};
use headgate_proto::router::v1::{CheckKeyRequest, CheckKeyResponse, GetStateRequest, GetStateResponse};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};

/// Answers the edge only.
struct Guarded;

#[tonic::async_trait]
impl RoutingService for Guarded {
    async fn get_state(
        &self,
        request: Request<GetStateRequest>,
    ) -> Result<Response<GetStateResponse>, Status> {
        require_peer(&request, &["edge"])?;
        Ok(Response::new(GetStateResponse::default()))
    }

    /// Answers anyone with where the call came from.
    async fn check_key(
        &self,
        request: Request<CheckKeyRequest>,
    ) -> Result<Response<CheckKeyResponse>, Status> {
        let mut response = Response::new(CheckKeyResponse {});
        origin::tell(response.metadata_mut().as_mut(), origin::of(request.metadata().as_ref()));
        Ok(response)
    }
}

/// A certificate authority, and the folder of what it made.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), certificate, folder: tempfile::tempdir().unwrap() }
    }

    /// Files for a process that goes by `names`.
    fn files(&self, process: &str, names: &[&str]) -> Tls {
        let file = |what: &str| self.folder.path().join(format!("{process}.{what}"));
        let tls = Tls {
            certificate_file: Some(file("crt")),
            key_file: Some(file("key")),
            ca_file: Some(file("ca")),
        };
        self.write(&tls, names);
        tls
    }

    fn write(&self, tls: &Tls, names: &[&str]) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let write = |file: &Option<std::path::PathBuf>, text: &str| {
            let file: &Path = file.as_deref().unwrap();
            fs::write(file, text).unwrap();
        };
        write(&tls.certificate_file, &certificate.pem());
        write(&tls.key_file, &key.serialize_pem());
        write(&tls.ca_file, &self.certificate);
    }
}

fn config(token_key: Option<&str>, tls: Option<Tls>) -> Config {
    Config { token_key: token_key.map(|key| key.repeat(32).into()), tls: tls.unwrap_or_default() }
}

fn identity(config: &Config, services: &[&str]) -> Identity {
    // Another test may have been first.
    drop(rustls::crypto::ring::default_provider().install_default());
    assert!(config.problems().is_empty());
    Identity::new(config, services, &Clock::system()).unwrap()
}

/// A process that serves until the test ends.
struct Server {
    at: SocketAddr,
    identity: Identity,
    tasks: Tasks,
}

async fn serve(config: &Config) -> Server {
    let identity = identity(config, &["router"]);
    let listener = bind("gRPC", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let at = listener.local_addr().unwrap();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let routes = Routes::new(RoutingServiceServer::new(Guarded)).add_service(health);
    let failures = strangers::Config { per_second: None, burst: 1 };
    let bounds = Bounds { connections: 100, streams: 100, failures };
    let (stop, clock) = (CancellationToken::new(), Clock::system());
    tokio::spawn(serve_grpc(listener, routes, bounds, identity.clone(), clock, stop));
    Server { at, identity, tasks: Tasks::new() }
}

impl Server {
    fn conn(&self, scheme: &str, identity: &Identity) -> Conn {
        let address = format!("{scheme}://localhost:{}", self.at.port()).parse().unwrap();
        remote(address, identity, &self.tasks)
    }

    /// What a process with `identity` is answered with, once it found the way, or what it is answered with at last.
    async fn answers(&self, scheme: &str, identity: &Identity) -> Code {
        let conn = self.conn(scheme, identity);
        let mut code = Code::Unknown;
        for _ in 0..60 {
            let answer = RoutingServiceClient::new(conn.clone()).get_state(GetStateRequest {}).await;
            code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
            if code != Code::Unavailable {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        code
    }

    /// Where a call of a process with `identity` comes from that says it comes from 192.0.2.1.
    async fn origin(&self, identity: &Identity) -> Option<IpAddr> {
        let mut client = RoutingServiceClient::new(self.conn("http", identity));
        for _ in 0..200 {
            let mut request = Request::new(CheckKeyRequest {});
            origin::tell(request.metadata_mut().as_mut(), "192.0.2.1".parse().ok());
            if let Ok(answer) = client.check_key(request).await {
                return origin::of(answer.metadata().as_ref());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }
}

#[test]
fn files_that_cannot_be_used_are_named_by_their_fields() {
    let ours = Authority::new();
    let told = |tls: &Tls| {
        let problems = config(None, Some(tls.clone())).problems();
        problems.into_iter().map(|(field, _)| field).collect::<Vec<_>>()
    };
    let (one, other) = (ours.files("one", &["one"]), ours.files("other", &["other"]));
    assert!(told(&one).is_empty());
    assert_eq!(told(&Tls { key_file: None, ..one.clone() }), ["tls"]);
    assert_eq!(told(&Tls { key_file: other.key_file, ..one.clone() }), ["tls"], "another's key");
    let (missing, no_key) = (Some("/no/such".into()), one.ca_file.clone());
    let bad = Tls { certificate_file: missing.clone(), key_file: no_key, ca_file: missing };
    assert_eq!(told(&bad), ["tls.certificate_file", "tls.key_file", "tls.ca_file"]);
}

#[tokio::test]
async fn a_service_token_makes_a_peer_of_the_services_it_names() {
    let server = serve(&config(Some("a1"), None)).await;
    let caller = |key: Option<&str>, services: &[&str]| identity(&config(key, None), services);
    assert_eq!(server.answers("http", &caller(Some("a1"), &["edge"])).await, Code::Ok);
    assert_eq!(server.answers("http", &caller(Some("a1"), &["usage"])).await, Code::PermissionDenied);
    assert_eq!(server.answers("http", &caller(Some("b2"), &["edge"])).await, Code::Unauthenticated);
    assert_eq!(server.answers("http", &caller(None, &["edge"])).await, Code::Unauthenticated);
    // Where nothing is configured, nobody is a peer, whatever they present.
    let open = serve(&config(None, None)).await;
    assert_eq!(open.answers("http", &caller(Some("a1"), &["edge"])).await, Code::Unauthenticated);
}

#[tokio::test]
async fn a_peer_is_believed_where_its_client_is_and_a_stranger_is_where_it_connects_from() {
    let server = serve(&config(Some("a1"), None)).await;
    let caller = |key: &str| identity(&config(Some(key), None), &["edge"]);
    assert_eq!(server.origin(&caller("a1")).await, "192.0.2.1".parse().ok());
    let connected = server.origin(&caller("b2")).await.unwrap();
    assert!(connected.is_loopback(), "{connected}");
}

#[tokio::test]
async fn a_certificate_of_the_authority_makes_a_peer_of_the_services_it_names() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let server = serve(&config(None, Some(ours.files("router", &["localhost", "router.svc"])))).await;
    let caller = |tls: Tls| identity(&config(None, Some(tls)), &["ignored"]);
    let edge = caller(ours.files("edge", &["edge.svc"]));
    assert_eq!(server.answers("https", &edge).await, Code::Ok);
    let usage = caller(ours.files("usage", &["usage.svc"]));
    assert_eq!(server.answers("https", &usage).await, Code::PermissionDenied);
    // Neither believes the other.
    let stranger = caller(theirs.files("edge", &["edge.svc"]));
    assert_eq!(server.answers("https", &stranger).await, Code::Unavailable);
}

#[tokio::test]
async fn where_both_are_configured_one_is_not_enough() {
    let ours = Authority::new();
    let server = serve(&config(Some("a1"), Some(ours.files("router", &["localhost"])))).await;
    let edge = ours.files("edge", &["edge"]);
    let caller = |key: Option<&str>| identity(&config(key, Some(edge.clone())), &["edge"]);
    assert_eq!(server.answers("https", &caller(Some("a1"))).await, Code::Ok);
    assert_eq!(server.answers("https", &caller(None)).await, Code::Unauthenticated);
    assert_eq!(server.answers("https", &caller(Some("b2"))).await, Code::Unauthenticated);
}

#[tokio::test]
async fn renewed_certificates_are_taken_up_without_a_restart() {
    let (old, new) = (Authority::new(), Authority::new());
    let (router, edge) = (old.files("router", &["localhost"]), old.files("edge", &["edge"]));
    let server = serve(&config(None, Some(router.clone()))).await;
    let caller = identity(&config(None, Some(edge.clone())), &[]);
    assert_eq!(server.answers("https", &caller).await, Code::Ok);
    for identity in [&server.identity, &caller] {
        let certificates = identity.certificates.clone().unwrap();
        server.tasks.spawn(certificates.keep_current(server.tasks.stopping()));
    }
    // Another authority altogether, so that nothing old can pass for it.
    new.write(&router, &["localhost"]);
    new.write(&edge, &["edge"]);
    let fresh = identity(&config(None, Some(new.files("fresh", &["edge"]))), &[]);
    let mut code = Code::Unknown;
    for _ in 0..10 {
        code = server.answers("https", &fresh).await;
        if code == Code::Ok {
            break;
        }
    }
    assert_eq!(code, Code::Ok, "the server goes on with its old certificate");
    assert_eq!(server.answers("https", &caller).await, Code::Ok, "the caller shows its old certificate");
}
