//! Any call of the contract by its name, with messages that are known by their descriptors only.

use bytes::{Buf as _, BufMut as _, Bytes};
use headgate_proto::descriptors;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// What a call was answered with.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The messages: one, unless the answer is a stream.
    pub messages: Vec<DynamicMessage>,
    /// The metadata before them.
    pub metadata: MetadataMap,
}

/// A call by its full name, e.g. "headgate.auth.v1.TenantService.GetTenant".
///
/// # Panics
/// When the contract has no such call.
#[must_use]
pub fn method(full_name: &str) -> MethodDescriptor {
    let (service, name) = full_name.rsplit_once('.').expect("a full name");
    let service = descriptors().expect("the contract").get_service_by_name(service);
    let found = service.and_then(|service| service.methods().find(|method| method.name() == name));
    found.unwrap_or_else(|| panic!("the contract has no call {full_name}"))
}

/// The service of Headgate that answers a call, by its package.
///
/// # Panics
/// When none does.
#[must_use]
pub fn service_of(method: &str) -> &'static str {
    match method.split('.').nth(1) {
        Some("auth") => "auth",
        Some("catalog") => "catalog",
        Some("budget") => "budget",
        Some("usage") => "usage",
        Some("runtime") => "runtime",
        Some("adapter") => "adapter",
        Some("inference" | "router") => "router",
        other => panic!("who serves {other:?}?"),
    }
}

/// Makes a call that presents `credential`.
///
/// # Errors
/// The status of a call that fails, at once or later.
///
/// # Panics
/// When the connection is gone, or the credential is not ASCII.
pub async fn call(
    channel: Channel,
    credential: Option<&str>,
    method: &MethodDescriptor,
    message: &DynamicMessage,
) -> Result<Answer, Status> {
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut client = tonic::client::Grpc::new(channel).max_decoding_message_size(64 << 20);
    client.ready().await.expect("a connection");
    let mut request = Request::new(Bytes::from(message.encode_to_vec()));
    if let Some(credential) = credential {
        let bearer = format!("Bearer {credential}").parse().expect("a credential of ASCII");
        request.metadata_mut().insert("authorization", bearer);
    }
    // A single answer is a stream of one.
    let answer = client.server_streaming(request, path.parse().expect("a path"), Raw).await?;
    let (metadata, mut stream, _) = answer.into_parts();
    let mut messages = Vec::new();
    while let Some(bytes) = stream.message().await? {
        messages.push(DynamicMessage::decode(method.output(), bytes).expect("a message of its type"));
    }
    Ok(Answer { messages, metadata })
}

/// Messages as bytes.
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
