//! A connection to a service elsewhere: its name is looked up now and then, its addresses are asked how they are, and
//! calls go to those in turn that are well.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Uri;
use http::uri::Authority;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::{Service as _, ServiceExt as _};

use super::dial::Dial;
use crate::identity::{Identity, Issuer, X_SERVICE_TOKEN};
use crate::scope;

/// How often the name is looked up and its addresses are asked, and how long either may take.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const WINDOW: u32 = 1 << 20;

/// Where a service is: `http://host:port`, or `https://host:port` with certificates; several with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// One at least.
    places: Vec<Authority>,
    tls: bool,
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be http://host:port or https://host:port, or several of one kind with commas between them")]
pub struct AddressError;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (mut places, mut schemes) = (Vec::new(), Vec::new());
        for one in text.split(',') {
            let (place, tls) = place(one.trim())?;
            places.push(place);
            schemes.push(tls);
        }
        schemes.dedup();
        let [tls] = schemes[..] else { return Err(AddressError) };
        Ok(Self { places, tls })
    }
}

/// A host with a port, and whether it asks for TLS.
fn place(text: &str) -> Result<(Authority, bool), AddressError> {
    let uri: Uri = text.parse().map_err(|_| AddressError)?;
    let tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(AddressError),
    };
    let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    let place = uri.authority().filter(|a| bare && a.port_u16().is_some() && !a.as_str().contains('@'));
    Ok((place.cloned().ok_or(AddressError)?, tls))
}

impl Address {
    /// Whether it asks for TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

/// How a service is.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// How many replicas its address leads to.
    pub replicas: usize,
    /// How many of them are well.
    pub well: usize,
    /// How long the slowest of those took to say so.
    pub latency: Option<Duration>,
}

/// Every replica of a service that its name leads to.
pub(super) struct Replicas {
    address: Address,
    identity: Identity,
    found: ArcSwap<Vec<Arc<Replica>>>,
    turn: AtomicUsize,
    /// A call failed: look at once.
    failed: Notify,
    /// When one was well last; at first, when the looking began.
    last_well: Mutex<Instant>,
}

struct Replica {
    at: SocketAddr,
    /// The name that led there.
    of: Authority,
    channel: Channel,
    well: AtomicBool,
    /// How long its last answer about that took.
    took_micros: AtomicU64,
}

impl Replicas {
    pub(super) fn new(address: Address, identity: Identity) -> Arc<Self> {
        let (found, turn, failed) = (ArcSwap::default(), AtomicUsize::default(), Notify::default());
        let last_well = Mutex::new(Instant::now());
        Arc::new(Self { address, identity, found, turn, failed, last_well })
    }

    /// How long no replica has been well.
    pub(super) fn away_for(&self) -> Duration {
        self.last_well.lock().elapsed()
    }

    /// Whether a replica is well.
    pub(super) fn any_well(&self) -> bool {
        self.found.load().iter().any(|replica| replica.is_well())
    }

    pub(super) fn reach(&self) -> Reach {
        let found = self.found.load();
        let well = || found.iter().filter(|replica| replica.is_well());
        let latency =
            well().map(|replica| Duration::from_micros(replica.took_micros.load(Ordering::Relaxed)));
        Reach { replicas: found.len(), well: well().count(), latency: latency.max() }
    }

    /// Keeps the replicas known until `stop` is cancelled.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let watched = async {
            loop {
                self.look().await;
                tokio::select! {
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    // A replica that just failed may say that it is well for a moment yet.
                    () = self.failed.notified() => tokio::time::sleep(LOOK_EVERY / 10).await,
                }
            }
        };
        stop.run_until_cancelled(watched).await;
    }

    async fn look(&self) {
        let found = futures_util::future::join_all(self.address.places.iter().map(look_up)).await;
        self.take(found.into_iter().flatten().collect());
        let replicas = self.found.load_full();
        futures_util::future::join_all(replicas.iter().map(|r| r.ask(self.identity.issuer.as_deref()))).await;
        if self.any_well() {
            *self.last_well.lock() = Instant::now();
        }
    }

    /// Keeps those that are there already. Names that lead nowhere for once change nothing.
    fn take(&self, mut found: Vec<(SocketAddr, Authority)>) {
        found.sort_unstable_by_key(|(at, _)| *at);
        found.dedup_by_key(|(at, _)| *at);
        let known = self.found.load();
        if found.is_empty() || found.iter().map(|(at, _)| at).eq(known.iter().map(|replica| &replica.at)) {
            return;
        }
        let replica = |(at, of): (SocketAddr, Authority)| {
            known.iter().find(|replica| replica.at == at).cloned().or_else(|| self.replica(at, of))
        };
        let replicas = found.into_iter().filter_map(replica).collect();
        self.found.store(Arc::new(replicas));
    }

    fn replica(&self, at: SocketAddr, of: Authority) -> Option<Arc<Replica>> {
        let certificates = self.identity.certificates.clone().filter(|_| self.address.tls);
        let dial = Dial { at, host: bare_host(&of).to_owned(), certificates };
        // The dialler does TLS, so that certificates may change.
        let endpoint = match Endpoint::from_shared(format!("http://{of}")) {
            Ok(endpoint) => endpoint,
            Err(cause) => {
                tracing::error!(%cause, "an address that was read cannot be used");
                return None;
            }
        };
        let channel = endpoint
            .connect_timeout(PATIENCE)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * 4)
            .connect_with_connector_lazy(dial);
        Some(Arc::new(Replica {
            at,
            of,
            channel,
            well: AtomicBool::new(false),
            took_micros: AtomicU64::new(0),
        }))
    }

    /// Those that are well in turn; if none is, all of them in turn: they may have recovered since.
    fn pick(&self) -> Option<Arc<Replica>> {
        let replicas = self.found.load();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let well = replicas.iter().filter(|replica| replica.is_well()).count();
        if well == 0 {
            return replicas.get(turn.checked_rem(replicas.len())?).cloned();
        }
        replicas.iter().filter(|replica| replica.is_well()).nth(turn % well).cloned()
    }

    /// Sends a call to one of them.
    pub(super) async fn call(
        &self,
        mut request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Status> {
        present(&mut request, self.identity.issuer.as_deref());
        let Some(replica) = self.pick() else {
            self.failed.notify_one();
            return Err(away(self.address.places.first(), "its name leads nowhere"));
        };
        let mut channel = replica.channel.clone();
        let answer = async { channel.ready().await?.call(request).await };
        match answer.await {
            Ok(response) => Ok(response.map(|body| Body::new(body.map_err(broken)))),
            Err(cause) => {
                if let Some(status) = late(&cause) {
                    return Err(status);
                }
                replica.well.store(false, Ordering::Relaxed);
                self.failed.notify_one();
                Err(away(Some(&replica.of), cause))
            }
        }
    }
}

/// Where a name leads, if anywhere.
async fn look_up(place: &Authority) -> Vec<(SocketAddr, Authority)> {
    let target = (bare_host(place), place.port_u16().unwrap_or(0));
    match tokio::time::timeout(PATIENCE, tokio::net::lookup_host(target)).await {
        Ok(Ok(found)) => return found.map(|at| (at, place.clone())).collect(),
        Ok(Err(cause)) => tracing::debug!(%place, %cause, "name not found"),
        Err(_) => tracing::debug!(%place, "no answer about the name"),
    }
    Vec::new()
}

/// Without the brackets of an IPv6 address.
fn bare_host(place: &Authority) -> &str {
    place.host().trim_start_matches('[').trim_end_matches(']')
}

impl Replica {
    fn is_well(&self) -> bool {
        self.well.load(Ordering::Relaxed)
    }

    /// Asks whether it serves (gRPC Health Checking Protocol, the empty service).
    async fn ask(&self, issuer: Option<&Issuer>) {
        let mut request = tonic::Request::new(HealthCheckRequest::default());
        request.set_timeout(PATIENCE);
        if let Some(token) = issuer.and_then(Issuer::token) {
            request.metadata_mut().as_mut().insert(X_SERVICE_TOKEN, token);
        }
        let mut health = HealthClient::new(self.channel.clone());
        let began = Instant::now();
        let asked = tokio::time::timeout(PATIENCE, health.check(request)).await;
        let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.took_micros.store(took, Ordering::Relaxed);
        let well = matches!(asked, Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving);
        if self.well.swap(well, Ordering::Relaxed) != well {
            tracing::info!(at = %self.at, well, "a replica changed");
        }
    }
}

/// Says whose call it is, and for which request.
fn present(request: &mut http::Request<Body>, issuer: Option<&Issuer>) {
    let headers = request.headers_mut();
    if let Some(token) = issuer.and_then(Issuer::token) {
        headers.insert(X_SERVICE_TOKEN, token);
    }
    scope::with_current(|context| context.tell(headers));
}

/// The deadline passed: the replica need not be at fault.
fn late(cause: &tonic::transport::Error) -> Option<Status> {
    let mut cause: Option<&dyn std::error::Error> = Some(cause);
    while let Some(error) = cause {
        if error.is::<tonic::TimeoutExpired>() {
            return Some(Status::deadline_exceeded("the deadline passed"));
        }
        cause = error.source();
    }
    None
}

fn away(place: Option<&Authority>, cause: impl std::fmt::Display) -> Status {
    tracing::debug!(?place, %cause, "call not answered");
    Status::unavailable("the service is away")
}

fn broken(cause: Status) -> Status {
    tracing::debug!(%cause, "answer broken off");
    Status::unavailable("the service went away")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_a_scheme_a_host_and_a_port() {
        for good in [
            "http://auth:50051",
            "https://auth.headgate.svc:50051/",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://a:1, http://b:2",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in [
            "auth:50051",
            "http://auth",
            "grpc://auth:1",
            "http://auth:1/x",
            "http://u@auth:1",
            "http://a:1?b",
            "http://a:1,",
            "http://a:1,https://b:2",
            "",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(AddressError), "{bad}");
        }
    }
}
