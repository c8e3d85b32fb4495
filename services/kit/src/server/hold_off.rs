//! Holds off callers who keep failing to say who they are.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use tokio_util::either::Either;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::wire::Caller;
use crate::error::{ErrorReason, Failure};
use crate::identity::{Peer, X_API_KEY};
use crate::strangers::{Standing, Strangers, X_KNOWN_ONLY, claim_of};

const YES: HeaderValue = HeaderValue::from_static("1");

/// Tells addresses to wait whose calls ended UNAUTHENTICATED too often. Services of the deployment are not counted:
/// what they pass on is not theirs.
#[derive(Clone, Debug)]
pub(super) struct HoldOff(pub(super) Strangers);

impl<S> Layer<S> for HoldOff {
    type Service = HeldOff<S>;

    fn layer(&self, server: S) -> HeldOff<S> {
        HeldOff { server, strangers: self.0.clone() }
    }
}

/// A server that does not listen to everyone.
#[derive(Clone, Debug)]
pub(super) struct HeldOff<S> {
    server: S,
    strangers: Strangers,
}

impl<S, Q, A> Service<Request<Q>> for HeldOff<S>
where
    S: Service<Request<Q>, Response = Response<A>, Error: Send, Future: Send + 'static>,
    A: Default + Send,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Either<S::Future, Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.server.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let address = request.extensions().get::<Caller>().and_then(|caller| caller.address);
        let is_peer = request.extensions().get::<Peer>().is_some();
        let Some(address) = address.filter(|_| self.strangers.is_on() && !is_peer) else {
            return Either::Left(self.server.call(request));
        };
        let headers = request.headers();
        let credential = headers.get(AUTHORIZATION).or_else(|| headers.get(X_API_KEY)).cloned();
        let claim = credential.as_ref().map(|credential| claim_of(credential.as_bytes()));
        match self.strangers.standing(address, claim) {
            Standing::Clear => {}
            Standing::Watched => {
                request.headers_mut().insert(X_KNOWN_ONLY, YES);
            }
            Standing::Refused(wait) => return Either::Right(Box::pin(async move { Ok(too_often(wait)) })),
        }
        let (answer, strangers) = (self.server.call(request), self.strangers.clone());
        Either::Right(Box::pin(async move {
            let response = answer.await?;
            let failed = Status::from_header_map(response.headers())
                .is_some_and(|status| status.code() == Code::Unauthenticated);
            let wait = if failed { charge(&strangers, address, credential.as_ref()) } else { None };
            Ok(wait.map_or(response, too_often))
        }))
    }
}

fn charge(strangers: &Strangers, address: IpAddr, credential: Option<&HeaderValue>) -> Option<Duration> {
    strangers.failed(address, credential.map(|credential| claim_of(credential.as_bytes())))
}

fn too_often<A: Default>(wait: Duration) -> Response<A> {
    let text = "too many calls from this address came without a valid credential";
    Status::from(Failure::new(ErrorReason::RateLimited, text).retry_after(wait)).into_http()
}
