//! Who is no service of the deployment gets nothing from internal calls, whatever else it holds.

use std::collections::BTreeSet;

use headgate_proto::FILE_DESCRIPTOR_SET;
use headgate_tests::cluster::Headgate;
use headgate_tests::setup::{KEY, Setup};
use http::uri::PathAndQuery;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

/// Answer services of the deployment only.
pub(crate) const INTERNAL: [&str; 10] = [
    "headgate.adapter.v1.AdapterService",
    "headgate.auth.v1.AccessWatchService",
    "headgate.auth.v1.AuditIngestService",
    "headgate.auth.v1.AuthenticationService",
    "headgate.budget.v1.AdmissionService",
    "headgate.budget.v1.KeyQuotaService",
    "headgate.budget.v1.PolicyWatchService",
    "headgate.budget.v1.TenantStandingService",
    "headgate.catalog.v1.CatalogWatchService",
    "headgate.router.v1.RoutingService",
];
/// Answer anyone, each for a reason of its own.
const PUBLIC: [&str; 10] = [
    "/headgate.auth.v1.AccountService/BootstrapOwner",
    "/headgate.auth.v1.AccountService/Register",
    "/headgate.auth.v1.AccountService/ResetPassword",
    "/headgate.auth.v1.OidcService/FinishOidcLogin",
    "/headgate.auth.v1.OidcService/StartOidcLogin",
    "/headgate.auth.v1.SessionService/ListLoginMethods",
    "/headgate.auth.v1.SessionService/ListSigningKeys",
    "/headgate.auth.v1.SessionService/Login",
    "/headgate.auth.v1.SessionService/Logout",
    "/headgate.auth.v1.SessionService/Refresh",
];
/// Answer consumers.
const CONSUMERS: [&str; 2] =
    ["headgate.inference.v1.DirectoryService", "headgate.inference.v1.InferenceService"];
/// In the order in which the harness starts them.
pub(crate) const SERVICES: [&str; 7] = ["auth", "catalog", "budget", "usage", "runtime", "adapter", "router"];

pub(crate) struct Method {
    pub(crate) service: String,
    pub(crate) path: String,
}

/// Every method of the contract.
pub(crate) fn methods() -> Vec<Method> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let ours = set.file.iter().filter(|file| file.package().starts_with("headgate."));
    let services = ours.flat_map(|file| file.service.iter().map(move |service| (file.package(), service)));
    services
        .flat_map(|(package, service)| {
            let name = format!("{package}.{}", service.name());
            service.method.iter().map(move |method| Method {
                path: format!("/{name}/{}", method.name()),
                service: name.clone(),
            })
        })
        .collect()
}

/// What an empty message is answered with by each process that knows the method. A call that is refused is refused
/// before its message is looked at, so what the message would have to say does not matter.
async fn answers(headgate: &Headgate, method: &Method, metadata: &[(&'static str, &str)]) -> Vec<Code> {
    let mut codes = Vec::new();
    for service in SERVICES {
        let address = headgate.node(service).grpc();
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let code = answer(channel, method, metadata).await.map_or_else(|status| status.code(), |()| Code::Ok);
        if code != Code::Unimplemented && !codes.contains(&code) {
            codes.push(code);
        }
    }
    codes
}

/// What an empty message is answered with at the other end of a connection.
pub(crate) async fn answer(
    channel: Channel,
    method: &Method,
    metadata: &[(&'static str, &str)],
) -> Result<(), Status> {
    let mut request = Request::new(());
    for (name, value) in metadata {
        let value: MetadataValue<Ascii> = value.parse().unwrap();
        request.metadata_mut().insert(*name, value);
    }
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|cause| Status::from_error(Box::new(cause)))?;
    let path = PathAndQuery::try_from(&method.path).unwrap();
    let answer = client.server_streaming(request, path, ProstCodec::<(), ()>::default()).await?;
    answer.into_inner().message().await.map(|_| ())
}

#[tokio::test]
async fn no_method_answers_a_stranger_and_internal_ones_answer_nobody_else() {
    let headgate = Headgate::start(&Setup::new()).await;
    let operator = format!("Bearer {}", headgate.operator_token());
    let consumer = format!("Bearer {KEY}");
    // {"alg":"HS256"}, claims of a router, signed with the empty key.
    let forged = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJoZWFkZ2F0ZSIsImF1ZCI6ImhlYWRnYXRlIiwiaWF0IjoxLCJleHAiOjk5OTk5OTk5OTk5LCJzZXJ2aWNlcyI6WyJyb3V0ZXIiXX0.dGhpcyBpcyBubyBzaWduYXR1cmU";
    let strangers: [&[(&'static str, &str)]; 3] =
        [&[], &[("x-headgate-service-token", forged)], &[("authorization", "Bearer wrong")]];
    let nobody = [Code::Unauthenticated];
    let refused = |codes: &[Code]| codes == nobody || codes == [Code::PermissionDenied];
    let mut internal = BTreeSet::new();
    assert!(PUBLIC.iter().all(|path| methods().iter().any(|method| method.path == *path)), "a call is gone");
    for method in methods().into_iter().filter(|method| !PUBLIC.contains(&method.path.as_str())) {
        for metadata in strangers {
            assert_eq!(answers(&headgate, &method, metadata).await, nobody, "{}: {metadata:?}", method.path);
        }
        let by_operator = answers(&headgate, &method, &[("authorization", &operator)]).await;
        let by_consumer = answers(&headgate, &method, &[("authorization", &consumer)]).await;
        let for_consumers = CONSUMERS.contains(&method.service.as_str());
        assert_eq!(!refused(&by_consumer), for_consumers, "{}: {by_consumer:?}", method.path);
        if by_operator == nobody && by_consumer == nobody {
            internal.insert(method.service);
        }
    }
    assert_eq!(internal, INTERNAL.map(str::to_owned).into());
}
