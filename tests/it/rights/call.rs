//! Any call of the contract by its name, with fields by theirs.

use std::sync::LazyLock;

use bytes::{Buf as _, BufMut as _, Bytes};
use headgate_access::Method;
use headgate_kit::Failure;
use headgate_proto::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _, Value};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Request, Status};

static CONTRACT: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).expect("the contract"));

/// How a call went: whether it was answered, or why not.
pub(crate) type Answer = Result<(), Failure>;

/// Makes a call that presents `credential` and says nothing but `value` at `field`, e.g. "filter.tenant_id".
pub(crate) async fn call(
    channel: Channel,
    credential: Option<&str>,
    method: &Method,
    said: Option<(&str, &str)>,
) -> Answer {
    let descriptor = CONTRACT.get_message_by_name(&method.request).expect("a request");
    let mut message = DynamicMessage::new(descriptor);
    if let Some((field, value)) = said {
        set(&mut message, field, value);
    }
    let (service, name) = method.name.rsplit_once('.').expect("a full name");
    let path = format!("/{service}/{name}").parse().expect("a path");
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.expect("a connection");
    let mut request = Request::new(Bytes::from(message.encode_to_vec()));
    if let Some(credential) = credential {
        let bearer = format!("Bearer {credential}").parse().expect("a credential of ASCII");
        request.metadata_mut().insert("authorization", bearer);
    }
    // A single answer is a stream of one.
    let answer = async {
        let mut answers = client.server_streaming(request, path, Raw).await?.into_inner();
        answers.message().await.map(drop)
    };
    answer.await.map_err(|status: Status| Failure::from_status(&status))
}

fn set(message: &mut DynamicMessage, path: &str, value: &str) {
    let (field, rest) = path.split_once('.').map_or((path, None), |(field, rest)| (field, Some(rest)));
    let field = message
        .descriptor()
        .get_field_by_name(field)
        .unwrap_or_else(|| panic!("{} has no {path}", message.descriptor().full_name()));
    match rest {
        None => message.set_field(&field, Value::String(value.to_owned())),
        Some(rest) => {
            set(message.get_field_mut(&field).as_message_mut().expect("a message"), rest, value);
        }
    }
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
