//! Identity by certificates: every process apart, and every call between them over mutual TLS.

use std::net::SocketAddr;
use std::time::Duration;

use headgate_kit::clock::Clock;
use headgate_kit::identity::{Issuer, TokenKey};
use headgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use headgate_proto::auth::v1::{CreateApiKeyRequest, RevokeApiKeyRequest};
use headgate_tests::authority::{Authority, Certificate};
use headgate_tests::cluster::{Headgate, Proof, TOKEN_KEY};
use headgate_tests::prompts;
use headgate_tests::setup::{Setup, TENANT};
use headgate_tests::topology::Topology;
use headgate_tests::upstream::Upstream;
use headgate_tests::wait::eventually;
use tonic::{Code, Status};

use crate::strangers::{INTERNAL, Method, SERVICES, answer, methods};

const SOON: Duration = Duration::from_secs(30);
/// The metadata that carries a service token.
const TOKEN: &str = "x-headgate-service-token";

async fn split(proof: Proof, upstream: &Upstream) -> Headgate {
    Headgate::start_knowing(proof, Topology::Split, &Setup::with_model("m", upstream)).await
}

/// Every internal method that answers routers and edges, with where it is served.
fn internal(headgate: &Headgate) -> Vec<(SocketAddr, Method)> {
    // Every service follows access, so that tells no two apart.
    among_internal(headgate, |method| {
        let of_others = is_probe(method) || is_question(method) || is_quota(method) || is_tale(method);
        method.service != "headgate.auth.v1.AccessWatchService" && !of_others
    })
}

/// Answers the catalog alone.
fn is_probe(method: &Method) -> bool {
    method.path.ends_with("/Probe")
}

/// Answers budget alone.
fn is_question(method: &Method) -> bool {
    method.path.ends_with("/FindApiKey") || method.path.ends_with("/FindTenant")
}

/// Answers auth alone.
fn is_quota(method: &Method) -> bool {
    method.path.ends_with("/SetKeyQuota") || method.path.ends_with("/FindTenantStandings")
}

/// Answers those who serve people.
fn is_tale(method: &Method) -> bool {
    method.service == "headgate.auth.v1.AuditIngestService"
}

fn among_internal(headgate: &Headgate, wanted: fn(&Method) -> bool) -> Vec<(SocketAddr, Method)> {
    let area = |service: &str| service.split('.').nth(1).map(str::to_owned).unwrap();
    let inner = methods().into_iter().filter(|method| INTERNAL.contains(&&*method.service) && wanted(method));
    inner.map(|method| (headgate.node(&area(&method.service)).grpc(), method)).collect()
}

/// How an internal call was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    /// There was no way to make it.
    Unreachable,
    /// As one of nobody in particular.
    Stranger,
    /// As one of a service that may not make it.
    Forbidden,
    /// It was looked into.
    Answered,
}

/// How the internal calls of one who shows `certificate` and `metadata` are met, wherever they are served.
async fn met(
    headgate: &Headgate,
    authority: &Authority,
    certificate: Option<&Certificate>,
    metadata: &[(&'static str, &str)],
) -> Vec<Met> {
    met_at(internal(headgate), authority, certificate, metadata).await
}

async fn met_at(
    methods: Vec<(SocketAddr, Method)>,
    authority: &Authority,
    certificate: Option<&Certificate>,
    metadata: &[(&'static str, &str)],
) -> Vec<Met> {
    let mut met = Vec::new();
    for (address, method) in methods {
        let answer = match authority.connect(address, certificate).await {
            Ok(channel) => answer(channel, &method, metadata).await,
            Err(cause) => Err(Status::from_error(Box::new(cause))),
        };
        met.push(match answer {
            // What the other side said has no cause on this side.
            Err(status) if std::error::Error::source(&status).is_some() => Met::Unreachable,
            Err(status) if !status.message().starts_with("this call answers ") => Met::Answered,
            Err(status) if status.code() == Code::Unauthenticated => Met::Stranger,
            Err(status) if status.code() == Code::PermissionDenied => Met::Forbidden,
            Ok(()) | Err(_) => Met::Answered,
        });
    }
    met.sort_unstable();
    met.dedup();
    met
}

/// A chat, a stream, their rows in the ledger, and a key that works until it is revoked.
async fn works(headgate: &Headgate, upstream: &Upstream) {
    headgate.client().chat(&prompts::chat("m")).await.expect(200);
    let (events, clean) = headgate.client().stream(&prompts::stream("m")).await.read_to_end().await;
    assert!(clean && events.last().unwrap().is_done());
    let mut keys = ApiKeyServiceClient::new(headgate.operator("auth").await);
    let request = CreateApiKeyRequest { tenant_id: TENANT.into(), ..Default::default() };
    let made = keys.create_api_key(request).await.unwrap().into_inner();
    let client = headgate.anonymous().with_key(&made.secret_key);
    client.chat(&prompts::chat("m")).await.expect(200);
    keys.revoke_api_key(RevokeApiKeyRequest { id: made.api_key.unwrap().id, ..Default::default() })
        .await
        .unwrap();
    eventually(SOON, "the revocation", || async {
        (client.chat(&prompts::chat("m")).await.status == 401).then_some(())
    })
    .await;
    eventually(SOON, "a ledger row for each request", || async {
        let summary = headgate.usage_summary().await;
        (summary.requests == upstream.journal().len() as u64 && summary.pending_records == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn certificates_alone_carry_every_call_and_tell_who_may_call_what() {
    let upstream = Upstream::start().await;
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (router, usage) = (ours.sign(&["router.example", "edge"]), ours.sign(&["usage"]));
    let (catalog, budget, auth) = (ours.sign(&["catalog"]), ours.sign(&["budget"]), ours.sign(&["auth"]));
    let (nameless, foreign) = (ours.sign(&[]), theirs.sign(&["router", "edge"]));
    let headgate = split(Proof::Certificates(ours), &upstream).await;
    works(&headgate, &upstream).await;
    let ours = headgate.authority();
    assert_eq!(met(&headgate, ours, None, &[]).await, [Met::Stranger]);
    // Of another authority, which is believed by the one who shows it, too.
    assert_eq!(met(&headgate, ours, Some(&foreign), &[]).await, [Met::Unreachable]);
    assert_eq!(met(&headgate, &theirs, Some(&foreign), &[]).await, [Met::Unreachable]);
    assert_eq!(met(&headgate, ours, Some(&usage), &[]).await, [Met::Forbidden]);
    assert_eq!(met(&headgate, ours, Some(&nameless), &[]).await, [Met::Forbidden]);
    assert_eq!(met(&headgate, ours, Some(&router), &[]).await, [Met::Answered]);
    let probe = || among_internal(&headgate, is_probe);
    assert_eq!(met_at(probe(), ours, Some(&router), &[]).await, [Met::Forbidden]);
    assert_eq!(met_at(probe(), ours, Some(&catalog), &[]).await, [Met::Answered]);
    let question = || among_internal(&headgate, is_question);
    assert_eq!(met_at(question(), ours, Some(&router), &[]).await, [Met::Forbidden]);
    assert_eq!(met_at(question(), ours, Some(&budget), &[]).await, [Met::Answered]);
    let quota = || among_internal(&headgate, is_quota);
    for other in [&router, &catalog, &budget, &usage] {
        assert_eq!(met_at(quota(), ours, Some(other), &[]).await, [Met::Forbidden]);
    }
    assert_eq!(met_at(quota(), ours, Some(&auth), &[]).await, [Met::Answered]);
    for service in SERVICES {
        let address = headgate.node(service).grpc();
        let plain = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
        let Ok(channel) = plain.connect().await else { continue };
        let status = answer(channel, &methods()[0], &[]).await.unwrap_err();
        assert!(std::error::Error::source(&status).is_some(), "{service} speaks in clear text: {status:?}");
    }
}

#[tokio::test]
async fn where_tokens_are_asked_for_too_a_certificate_is_not_enough() {
    let upstream = Upstream::start().await;
    let ours = Authority::new();
    let router = ours.sign(&["router", "edge"]);
    let headgate = split(Proof::Both(ours), &upstream).await;
    works(&headgate, &upstream).await;
    let ours = headgate.authority();
    let sign = |key: &str, services: &[&str]| {
        let issuer = Issuer::new(&TokenKey::parse(key).unwrap(), services, Clock::system());
        issuer.token().unwrap().to_str().unwrap().to_owned()
    };
    let (good, usage) = (sign(TOKEN_KEY, &["router", "edge"]), sign(TOKEN_KEY, &["usage"]));
    let forged = sign(&"ab".repeat(32), &["router", "edge"]);
    for (certificate, token) in
        [(None, None), (Some(&router), None), (None, Some(&good)), (Some(&router), Some(&forged))]
    {
        let shown: Vec<_> = token.into_iter().map(|token| (TOKEN, token.as_str())).collect();
        assert_eq!(met(&headgate, ours, certificate, &shown).await, [Met::Stranger]);
    }
    assert_eq!(met(&headgate, ours, Some(&router), &[(TOKEN, &usage)]).await, [Met::Forbidden]);
    assert_eq!(met(&headgate, ours, Some(&router), &[(TOKEN, &good)]).await, [Met::Answered]);
}

#[tokio::test]
async fn renewed_certificates_are_taken_up_by_all_processes_without_a_restart() {
    let upstream = Upstream::start().await;
    let old = Authority::new();
    let known_before = old.sign(&["usage"]);
    let mut headgate = split(Proof::Certificates(old), &upstream).await;
    works(&headgate, &upstream).await;
    // Another authority altogether, so that nothing old can pass for it.
    let new = Authority::new();
    let known_now = new.sign(&["usage"]);
    let old = headgate.renew_certificates(new);
    let new = headgate.authority();
    eventually(SOON, "every process to show its new certificate", || async {
        (met(&headgate, new, Some(&known_now), &[]).await == [Met::Forbidden]).then_some(())
    })
    .await;
    // The old authority is believed no more, and what it signed is shown no more.
    assert_eq!(met(&headgate, new, Some(&known_before), &[]).await, [Met::Unreachable]);
    assert_eq!(met(&headgate, &old, Some(&known_before), &[]).await, [Met::Unreachable]);
    // Those that call a new process show it their new certificates.
    for service in ["adapter", "budget", "auth", "catalog", "router"] {
        headgate.node_mut(service).kill();
        headgate.node_mut(service).restart().await;
        headgate.node(service).ready().await;
    }
    eventually(SOON, "a chat", || async {
        (headgate.client().chat(&prompts::chat("m")).await.status == 200).then_some(())
    })
    .await;
}
