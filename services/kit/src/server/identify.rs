//! Tells every gRPC call from a service of the deployment from a stranger's, and where a stranger's comes from.

use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service};

use super::wire::Caller;
use crate::identity::{Identity, Presented, X_SERVICE_TOKEN};
use crate::origin;

/// Marks the calls of peers by what their connections and metadata prove, and takes the proof out. What a peer says of
/// its client's address holds; of anyone else it is the connection that tells.
#[derive(Clone, Debug)]
pub(super) struct Identify(pub(super) Identity);

impl<S> Layer<S> for Identify {
    type Service = Identified<S>;

    fn layer(&self, server: S) -> Identified<S> {
        Identified { server, identity: self.0.clone() }
    }
}

/// A server that knows its peers.
#[derive(Clone, Debug)]
pub(super) struct Identified<S> {
    server: S,
    identity: Identity,
}

impl<S, Q, A> Service<Request<Q>> for Identified<S>
where
    S: Service<Request<Q>, Response = Response<A>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.server.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let token = request.headers_mut().remove(X_SERVICE_TOKEN);
        let caller = request.extensions().get::<Caller>();
        let certificate = caller.and_then(|caller| caller.certificate.as_ref());
        let address = caller.and_then(|caller| caller.address);
        match self.identity.peer(&Presented { token: token.as_ref(), certificate }) {
            Some(peer) => drop(request.extensions_mut().insert(peer)),
            None => origin::tell(request.headers_mut(), address),
        }
        self.server.call(request)
    }
}
