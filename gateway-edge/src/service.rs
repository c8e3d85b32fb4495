//! What all requests have in common: id, trace, headers, measurement, the choice of the operation.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::request_id::{RequestId, X_REQUEST_ID};
use headgate_kit::scope::{RequestContext, within};
use headgate_proto::inference::v1::DialectBody;
use headgate_proto::router::v1::CheckKeyRequest;
use http::header::{CONTENT_TYPE, EXPECT, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tonic::metadata::MetadataMap;

use crate::body::Body;
use crate::cors::Cors;
use crate::edge::Shared;
use crate::error::Refusal;
use crate::route::{Route, model_name};
use crate::transcode::{Asked, Found, Match};
use crate::{chat, completions, cookies, docs, embeddings, health, metadata, models, read};

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const DENY: HeaderValue = HeaderValue::from_static("DENY");
const STRICT_ORIGIN: HeaderValue = HeaderValue::from_static("strict-origin-when-cross-origin");
/// Room for the content type, what the router says of a request, and what every answer says.
const ANSWER_HEADERS: usize = 12;
/// What every answer says.
const COMMON_HEADERS: usize = 4;
/// How long a refused client may go on writing.
const DISCARD_FOR: Duration = Duration::from_secs(2);

/// An answer, or why there is none.
pub(crate) type Answer = Result<Response<Body>, Refusal>;

/// One request whose body is still to be read.
struct Call<'a> {
    head: &'a Parts,
    body: &'a mut Incoming,
    id: &'a RequestId,
}

/// What a request is for.
enum Target {
    /// A path of this crate, or none at all.
    Route(Route),
    /// A call that its proto puts there.
    Call(Match),
    /// A path of such calls that has other methods.
    OtherMethods(String),
    /// Nothing yet: a browser asks whether a page may call.
    Preflight,
}

impl Target {
    /// The route whose bounds hold.
    fn route(&self) -> Route {
        if let Self::Route(route) = self { *route } else { Route::Other }
    }

    /// Whether who asks must say who they are.
    fn asks_for_key(&self) -> bool {
        match self {
            Self::Route(route) => route.asks_for_key(),
            Self::Call(found) => !found.binding.access.is_public(),
            Self::OtherMethods(_) | Self::Preflight => false,
        }
    }
}

impl Shared {
    /// Answers one request, whatever it is, on a connection that comes `from` there.
    pub(crate) async fn answer(&self, request: Request<Incoming>, from: IpAddr) -> Response<Body> {
        let context = RequestContext::of(request.headers(), &self.clock);
        let id = context.id.clone();
        within(context, self.answer_as(&id, request, from)).await
    }

    async fn answer_as(&self, id: &RequestId, request: Request<Incoming>, from: IpAddr) -> Response<Body> {
        let (mut head, mut body) = request.into_parts();
        let target = self.target(&head);
        let route = target.route();
        let mut measurement = match &target {
            Target::Call(found) => self.metrics.begin_transcoded(found.place),
            Target::Route(_) | Target::OtherMethods(_) | Target::Preflight => self.metrics.begin(route),
        };
        let admitted = match &target {
            // A session is nobody's key: consumers present one.
            Target::Call(found) if !found.binding.access.is_for_consumers() => {
                cookies::admit(&mut head, &self.config.cors).map_err(Refusal::from)
            }
            Target::Call(_) | Target::Route(_) | Target::OtherMethods(_) | Target::Preflight => Ok(()),
        };
        let looked = match target.asks_for_key() {
            true => admitted.and_then(|()| self.look(from, &mut head.headers)),
            false => admitted,
        };
        let call = Call { head: &head, body: &mut body, id };
        let answer = match (looked, target) {
            (Err(refusal), _) => Err(refusal),
            (Ok(()), Target::Route(route)) => self.dispatch(route, call).await,
            // Boxed, so that requests for models carry nothing of it.
            (Ok(()), Target::Call(found)) => Box::pin(self.transcode(found, call, from)).await,
            (Ok(()), Target::Preflight) => Ok(Cors::preflight(&head.headers)),
            (Ok(()), Target::OtherMethods(allowed)) => Err(Refusal::method_not_allowed(&allowed)),
        };
        let mut response = match answer {
            Ok(response) => response,
            Err(refusal) => {
                let refusal = match refusal.is_strangers() {
                    true => self.failed(from, &head.headers, refusal),
                    false => refusal,
                };
                self.discard(route, &head.headers, body);
                refusal.into_response(id)
            }
        };
        add_common_headers(response.headers_mut(), id);
        self.config.cors.open(&head.headers, response.headers_mut());
        measurement.answered(response.status());
        if self.config.access_log {
            tracing::info!(
                target: "headgate::access",
                method = %head.method,
                path = head.uri.path(),
                status = response.status().as_u16(),
                micros = measurement.elapsed_micros(),
                "request"
            );
        }
        response
    }

    /// What a request is for. The fixed paths come first: they are what is asked for most.
    fn target(&self, head: &Parts) -> Target {
        if self.config.cors.is_preflight(head) {
            return Target::Preflight;
        }
        let route = Route::of(head.uri.path());
        if route != Route::Other {
            return Target::Route(route);
        }
        match self.transcoder.find(&head.method, head.uri.path()) {
            Found::Call(found) => Target::Call(found),
            Found::OtherMethods(allowed) => Target::OtherMethods(allowed),
            Found::Nothing => Target::Route(Route::Other),
        }
    }

    async fn transcode(&self, found: Match, call: Call<'_>, from: IpAddr) -> Answer {
        let limit = self.config.max_body_bytes;
        if call.body.size_hint().lower() > limit as u64 {
            return Err(read::too_large().into());
        }
        let body = if call.body.is_end_stream() {
            Bytes::new()
        } else {
            read::require_plain_json(&call.head.headers)?;
            // Whoever calls is the service's to judge, so there is nobody to introduce.
            read::whole(call.body, limit, self.config.body_read_timeout(), async || Ok(())).await?
        };
        let headers = &call.head.headers;
        let metadata = metadata::of_client(headers, call.id, self.client(from, headers));
        let asked = Asked {
            found: &found,
            query: call.head.uri.query(),
            body: &body,
            headers,
            metadata,
            id: call.id,
            keep_alive: self.config.keep_alive(),
        };
        self.transcoder.answer(asked).await
    }

    async fn dispatch(&self, route: Route, call: Call<'_>) -> Answer {
        if route != Route::Other && !route.allows(&call.head.method) {
            return Err(Refusal::method_not_allowed(route.allowed()));
        }
        // Also where no body is read: it would have to be waited for before the connection can be used again.
        if call.body.size_hint().lower() > self.config.body_limit(route) as u64 {
            return Err(read::too_large().into());
        }
        let (headers, id) = (&call.head.headers, call.id);
        match route {
            Route::ChatCompletions => {
                let body = self.read_json(route, call).await?;
                chat::complete(self, headers, id, body).await
            }
            Route::Completions => {
                let body = self.read_json(route, call).await?;
                completions::complete(self, headers, id, body).await
            }
            Route::Embeddings => {
                let body = self.read_json(route, call).await?;
                embeddings::embed(self, headers, id, body).await
            }
            Route::Models => models::list(self, headers, id).await,
            Route::ModelsStatus => models::status(self, headers, id).await,
            Route::ModelsSearch => models::search(self, headers, id, call.head.uri.query()).await,
            Route::Model => models::get(self, headers, id, model_name(call.head.uri.path())).await,
            Route::Health if health::asks_for_full(call.head.uri.query()) => health::full(self).await,
            Route::Health => health::short(),
            Route::OpenApi => self.document.answer(headers, self.transcoder.served()),
            Route::Docs => Ok(docs::page()),
            Route::DocsScript => Ok(docs::script()),
            Route::DocsStyle => Ok(docs::style()),
            Route::Ping => Ok(whole(TEXT, Bytes::from_static(b"pong"))),
            Route::Other => Err(Failure::new(ErrorReason::NotFound, "no such path").into()),
        }
    }

    async fn read_json(&self, route: Route, call: Call<'_>) -> Result<Bytes, Refusal> {
        let Call { head, body, id } = call;
        read::require_json(&head.headers)?;
        // Boxed: seldom needed.
        let introduce = || Box::pin(self.introduce(&head.headers, id));
        read::whole(body, self.config.body_limit(route), self.config.body_read_timeout(), introduce).await
    }

    /// Refuses strangers as the request itself would be.
    async fn introduce(&self, headers: &HeaderMap, id: &RequestId) -> Result<(), Refusal> {
        self.routing.check_key(metadata::request(headers, id, CheckKeyRequest {})).await?;
        Ok(())
    }

    fn discard(&self, route: Route, headers: &HeaderMap, body: Incoming) {
        // A client that waits for 100 Continue has not begun to write.
        if !body.is_end_stream() && !headers.contains_key(EXPECT) {
            self.tasks.spawn(read::discard(body, self.config.body_limit(route), DISCARD_FOR));
        }
    }
}

fn add_common_headers(headers: &mut HeaderMap, id: &RequestId) {
    headers.reserve(COMMON_HEADERS);
    headers.insert(X_REQUEST_ID, id.header());
    headers.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    headers.insert(X_FRAME_OPTIONS, DENY);
    headers.insert(REFERRER_POLICY, STRICT_ORIGIN);
}

/// A complete answer with status 200.
pub(crate) fn whole(content_type: HeaderValue, bytes: Bytes) -> Response<Body> {
    let mut headers = HeaderMap::with_capacity(ANSWER_HEADERS);
    headers.insert(CONTENT_TYPE, content_type);
    let mut response = Response::new(Body::Whole(bytes));
    *response.headers_mut() = headers;
    response
}

/// The body of a public API as the router gave it.
pub(crate) fn dialect_answer(metadata: &MetadataMap, answer: Option<DialectBody>) -> Answer {
    let Some(answer) = answer else {
        return Err(Failure::internal("a dialect request was not answered in its dialect").into());
    };
    let mut response = whole(JSON, answer.body);
    metadata::copy_public(metadata, response.headers_mut());
    Ok(response)
}
