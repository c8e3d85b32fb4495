//! Gives every gRPC call its request id and its place in a trace.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service};

use crate::clock::Clock;
use crate::request_id::X_REQUEST_ID;
use crate::scope::{InRequest, RequestContext, within};

/// Names calls as their callers do, or else anew: the server sees the name as metadata, the caller in the answer's,
/// and every log line of the call carries it. The caller's trace is continued.
#[derive(Clone, Debug)]
pub(super) struct Naming(pub(super) Clock);

impl<S> Layer<S> for Naming {
    type Service = Named<S>;

    fn layer(&self, server: S) -> Named<S> {
        Named { server, clock: self.0.clone() }
    }
}

/// A server whose calls have names.
#[derive(Clone, Debug)]
pub(super) struct Named<S> {
    server: S,
    clock: Clock,
}

impl<S, Q, A> Service<Request<Q>> for Named<S>
where
    S: Service<Request<Q>, Response = Response<A>, Future: Send + 'static>,
{
    type Response = Response<InRequest<A>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.server.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let context = RequestContext::of(request.headers(), &self.clock);
        request.headers_mut().insert(X_REQUEST_ID, context.id.header());
        let answer = within(context.clone(), self.server.call(request));
        Box::pin(async move {
            let mut response = answer.await?;
            response.headers_mut().entry(X_REQUEST_ID).or_insert_with(|| context.id.header());
            Ok(response.map(|body| InRequest::new(context, body)))
        })
    }
}
