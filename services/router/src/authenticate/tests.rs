//! What requests get while auth cannot tell.

use std::sync::atomic::AtomicUsize;

use futures_util::stream::Pending;
use headgate_kit::conn::local;
use headgate_proto::auth::v1 as auth;
use headgate_proto::auth::v1::authentication_service_server::{
    AuthenticationService, AuthenticationServiceServer,
};
use tonic::{Request, Response, Status};

use super::*;
use crate::tests::peers::{KEY, key, keys};

/// An auth that cannot reach its database, takes its time to say so, and counts what it is asked.
struct Away {
    asked: Arc<AtomicUsize>,
    clock: Clock,
}

#[tonic::async_trait]
impl AuthenticationService for Away {
    type WatchKeysStream = Pending<Result<auth::WatchKeysResponse, Status>>;

    async fn verify_api_key(
        &self,
        _: Request<VerifyApiKeyRequest>,
    ) -> Result<Response<auth::VerifyApiKeyResponse>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.clock.advance(2 * CANNOT_TELL_FOR);
        Err(Failure::unavailable("the key store", "it is away").into())
    }

    async fn watch_keys(
        &self,
        _: Request<auth::WatchKeysRequest>,
    ) -> Result<Response<Self::WatchKeysStream>, Status> {
        Err(Status::unavailable("not used here"))
    }

    async fn find_api_key(
        &self,
        _: Request<auth::FindApiKeyRequest>,
    ) -> Result<Response<auth::FindApiKeyResponse>, Status> {
        Err(Status::unavailable("not used here"))
    }

    async fn find_tenant(
        &self,
        _: Request<auth::FindTenantRequest>,
    ) -> Result<Response<auth::FindTenantResponse>, Status> {
        Err(Status::unavailable("not used here"))
    }

    async fn report_key_uses(
        &self,
        _: Request<auth::ReportKeyUsesRequest>,
    ) -> Result<Response<auth::ReportKeyUsesResponse>, Status> {
        Err(Status::unavailable("not used here"))
    }
}

fn presenting(api_key: &str) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert("authorization", format!("Bearer {api_key}").parse().unwrap());
    metadata
}

#[tokio::test]
async fn while_auth_cannot_tell_it_is_asked_now_and_then_and_not_once_a_request() {
    let (asked, clock) = (Arc::<AtomicUsize>::default(), Clock::manual(1_000_000_000));
    let begin = Instant::now();
    let snapshot = Arc::new(Keys::default());
    snapshot.apply(keys(), Now { instant: begin, unix_ms: clock.unix_millis() });
    let auth = local(AuthenticationServiceServer::new(Away { asked: asked.clone(), clock: clock.clone() }));
    let stale = IntCounter::new("stale", "stale").unwrap();
    let hour = Duration::from_secs(3600);
    let authenticator = Authenticator::new(snapshot, auth, hour, stale.clone(), clock.clone());

    let ask = async |after: Duration| {
        let found = authenticator.authenticate(&presenting(KEY), begin + after).await.unwrap();
        assert_eq!(*found, key());
        (asked.load(Ordering::Relaxed), stale.get())
    };
    assert_eq!(ask(Duration::ZERO).await, (0, 0), "the watch was just heard");
    // From here on it has been silent for a minute.
    let silent = Duration::from_secs(60);
    for n in 1..=100 {
        assert_eq!(ask(silent).await, (1, n));
    }
    clock.advance(CANNOT_TELL_FOR);
    assert_eq!(ask(silent).await, (2, 101));
    let unknown = authenticator.authenticate(&presenting("sk-other.secret"), begin + silent).await;
    assert_eq!(unknown.unwrap_err().reason, ErrorReason::Unavailable, "of it nothing is known");
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}
