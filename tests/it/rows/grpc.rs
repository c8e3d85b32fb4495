//! A line over gRPC.

use headgate_kit::Failure;
use headgate_kit::error::reason_name;
use headgate_tests::cluster::Headgate;
use headgate_tests::dynamic::{self, Answer, service_of};
use prost_reflect::{DeserializeOptions, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use tonic::Status;
use tonic::transport::Endpoint;

use super::table::{Line, NOBODY};
use super::variables::Variables;

/// Makes the call that a line says.
pub(super) async fn ask(
    headgate: &Headgate,
    line: &Line,
    call: &str,
    variables: &Variables,
) -> Result<Answer, Status> {
    let method = dynamic::method(call);
    let says = line.grpc.as_ref().map_or(&line.says, |side| &side.says);
    let message = message(&method.input(), variables.filled(says));
    let credential = (line.by != NOBODY).then(|| variables.text(&line.by));
    let address = headgate.node(service_of(call)).grpc();
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let channel = endpoint.connect().await.expect("gRPC is served");
    dynamic::call(channel, credential, &method, &message).await
}

fn message(descriptor: &MessageDescriptor, says: Value) -> DynamicMessage {
    if says.is_null() {
        return DynamicMessage::new(descriptor.clone());
    }
    let strict = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(descriptor.clone(), says, &strict)
        .unwrap_or_else(|cause| panic!("no {}: {cause}", descriptor.full_name()))
}

/// What an answer tells, in the form that REST gives it: an object, or a list of them for a stream.
pub(super) fn told(answer: &Answer, streams: bool) -> Value {
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    let object = |message: &DynamicMessage| {
        message.serialize_with_options(serde_json::value::Serializer, &options).expect("JSON of a message")
    };
    match streams {
        true => answer.messages.iter().map(object).collect(),
        false => object(&answer.messages[0]),
    }
}

/// How a call failed: as a line says it, e.g. "ABORTED (CONFLICT)", and the field at fault.
pub(super) fn fault(status: &Status) -> (String, Option<String>) {
    let failure = Failure::from_status(status);
    let code = format!("{:?}", status.code());
    // "NotFound" as protobuf spells it.
    let mut spelled = String::new();
    for letter in code.chars() {
        if letter.is_uppercase() && !spelled.is_empty() {
            spelled.push('_');
        }
        spelled.push(letter.to_ascii_uppercase());
    }
    (format!("{spelled} ({})", reason_name(failure.reason)), failure.metadata.get("field").cloned())
}
