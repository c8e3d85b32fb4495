//! Messages that are known by their descriptor only, on the wire.

use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Sends any message and reads those of one type.
#[derive(Clone)]
pub(crate) struct DynamicCodec(pub(crate) MessageDescriptor);

pub(crate) struct Sending;

pub(crate) struct Reading(MessageDescriptor);

impl Codec for DynamicCodec {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Sending;
    type Decoder = Reading;

    fn encoder(&mut self) -> Sending {
        Sending
    }

    fn decoder(&mut self) -> Reading {
        Reading(self.0.clone())
    }
}

impl Encoder for Sending {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message.encode(to).map_err(|cause| Status::internal(cause.to_string()))
    }
}

impl Decoder for Reading {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let message = DynamicMessage::decode(self.0.clone(), from);
        message.map(Some).map_err(|cause| Status::internal(cause.to_string()))
    }
}
