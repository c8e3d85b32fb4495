//! A contract that the edge has never heard of, and a service that answers with what it is asked.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use headgate_kit::Failure;
use headgate_kit::conn::{self, Conn};
use headgate_kit::error::ErrorReason;
use http::{HeaderMap, HeaderValue};
use parking_lot::Mutex;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, Value};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver};
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status};

use crate::transcode::codec::DynamicCodec;

pub(super) const PACKAGE: &str = "headgate.things.v1";
const CONTRACT: &str = include_str!("contract/things.proto");

/// A proto that is no file.
struct Text(String);

impl FileResolver for Text {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "things.proto" => File::from_source(name, &self.0),
            other => Err(protox::Error::file_not_found(other)),
        }
    }
}

/// The contract, with more of it in the service.
pub(super) fn contract_with(more: &str) -> DescriptorPool {
    let text = CONTRACT.replacen("service ThingService {\n", &format!("service ThingService {{\n{more}"), 1);
    let mut files = ChainFileResolver::new();
    files.add(Text(text));
    files.add(IncludeFileResolver::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto")));
    files.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(files);
    compiler.include_imports(true).include_source_info(true).open_file("things.proto").unwrap();
    DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice()).unwrap()
}

/// Answers with what it is asked, and does what a thing's name says.
#[derive(Clone)]
pub(super) struct Echo {
    contract: DescriptorPool,
    /// What it was asked last, and with which metadata.
    pub(super) seen: Arc<Mutex<Option<(HeaderMap, DynamicMessage)>>>,
}

impl Echo {
    pub(super) fn new(contract: &DescriptorPool) -> Self {
        Self { contract: contract.clone(), seen: Arc::default() }
    }

    pub(super) fn conn(&self) -> Conn {
        let echo = self.clone();
        conn::local(tower::service_fn(move |request| {
            let echo = echo.clone();
            async move { Ok::<_, Infallible>(echo.serve(request).await) }
        }))
    }

    async fn serve(&self, request: http::Request<Body>) -> http::Response<Body> {
        let path = request.uri().path().to_owned();
        let method = self.contract.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let is_asked = |method: &MethodDescriptor| {
            path == format!("/{}/{}", method.parent_service().full_name(), method.name())
        };
        let method = method.into_iter().find(is_asked).unwrap();
        let mut grpc = Grpc::new(DynamicCodec(method.input()));
        let serving = Serving { echo: self.clone(), method: method.clone() };
        if method.is_server_streaming() {
            grpc.server_streaming(serving, request).await
        } else {
            grpc.unary(serving, request).await
        }
    }
}

struct Serving {
    echo: Echo,
    method: MethodDescriptor,
}

type Answering<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;
type Things = Pin<Box<dyn Stream<Item = Result<DynamicMessage, Status>> + Send>>;

impl UnaryService<DynamicMessage> for Serving {
    type Response = DynamicMessage;
    type Future = Answering<DynamicMessage>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let output = self.method.output();
        let (metadata, _, thing) = request.into_parts();
        *self.echo.seen.lock() = Some((metadata.into_headers(), thing.clone()));
        Box::pin(async move {
            if output.full_name() == "google.api.HttpBody" {
                let mut body = DynamicMessage::new(output);
                body.set_field_by_name("content_type", Value::String("text/csv; charset=utf-8".into()));
                body.set_field_by_name("data", Value::Bytes("a,b\n1,2\n".into()));
                return Ok(Response::new(body));
            }
            does(thing)
        })
    }
}

impl ServerStreamingService<DynamicMessage> for Serving {
    type Response = DynamicMessage;
    type ResponseStream = Things;
    type Future = Answering<Things>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let thing = request.into_inner();
        Box::pin(async move {
            let breaks = name(&thing) == "breaks";
            let things = async_stream::stream! {
                yield Ok(thing.clone());
                tokio::time::sleep(Duration::from_millis(1)).await;
                if breaks {
                    yield Err(Failure::new(ErrorReason::Conflict, "it changed").into());
                }
                yield Ok(thing);
            };
            Ok(Response::new(Box::pin(things) as Things))
        })
    }
}

fn name(thing: &DynamicMessage) -> String {
    let name = thing.get_field_by_name("name");
    name.as_deref().and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn does(thing: DynamicMessage) -> Result<Response<DynamicMessage>, Status> {
    let name = name(&thing);
    let mut response = Response::new(thing);
    let mut say = |key: &'static str, value: &'static str| {
        response.metadata_mut().as_mut().append(key, HeaderValue::from_static(value));
    };
    match name.as_str() {
        "made" => {
            say("x-headgate-http-status", "201");
            say("x-internal", "hidden");
            say("x-headgate-public", "shown");
        }
        "gone" => {
            say("x-headgate-http-status", "204");
            say("set-cookie", "a=1; HttpOnly");
            say("set-cookie", "b=2; HttpOnly");
        }
        "elsewhere" => {
            say("x-headgate-http-status", "303");
            say("location", "/there");
        }
        "teapot" => say("x-headgate-http-status", "418"),
        "changed" => {
            let mut status = Status::from(
                Failure::new(ErrorReason::Conflict, "it changed").with("field", "etag").with("etag", "7"),
            );
            status.metadata_mut().insert("set-cookie", "a=; Max-Age=0".parse().unwrap());
            return Err(status);
        }
        "worn" => {
            let text = "inner.size must not be inner.name. See inner.wear, or dinner.size";
            return Err(Failure::invalid("inner.size", text).into());
        }
        "faded" => return Err(Failure::invalid("colours.values[1]", "colours.values[1] is no colour").into()),
        "lost" => return Err(Failure::invalid("name", "inner.size needs a name").into()),
        _ => {}
    }
    Ok(response)
}
