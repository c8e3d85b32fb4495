//! Any call of the contract, about something or nothing.

use headgate_access::Method;
use headgate_kit::Failure;
use headgate_tests::dynamic;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use tonic::transport::Channel;

/// How a call went: whether it was answered, or why not.
pub(crate) type Answer = Result<(), Failure>;

/// Makes a call that presents `credential` and says nothing but `value` at `field`, e.g. "filter.tenant_id".
pub(crate) async fn call(
    channel: Channel,
    credential: Option<&str>,
    method: &Method,
    said: Option<(&str, &str)>,
) -> Answer {
    let method = dynamic::method(&method.name);
    let mut message = DynamicMessage::new(method.input());
    if let Some((field, value)) = said {
        set(&mut message, field, value);
    }
    let answer = dynamic::call(channel, credential, &method, &message).await;
    answer.map(drop).map_err(|status| Failure::from_status(&status))
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
