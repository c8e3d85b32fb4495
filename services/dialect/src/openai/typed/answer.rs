//! Answers, whole or piece by piece, as typed messages.

use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::{
    ChatChoice, ChatCompletion, ChatDelta, ChatMessage, ChatRole, ChoiceDelta, ContentPart, FinishReason,
    ToolCall,
};
use serde::Deserialize;

use crate::Invalid;

/// A whole answer or a chunk: they differ in where a choice keeps what was said.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    created: Option<f64>,
    choices: Option<Vec<Choice>>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: Option<u32>,
    #[serde(alias = "delta")]
    message: Option<Said>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Said {
    role: Option<String>,
    content: Option<Content>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    reasoning: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<TextPart>),
}

#[derive(Deserialize)]
struct TextPart {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    index: Option<u32>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<String>,
}

/// Reads a whole chat answer. `model` is the name the request gave.
///
/// An end that is not known counts as [`FinishReason::Stop`]; reasoning has no place in a typed message and is left
/// out.
///
/// # Errors
/// When the body is not a JSON object whose `choices` hold messages.
pub fn decode_chat(body: &[u8], model: &str) -> Result<ChatCompletion, Invalid> {
    let body = parse(body, "answer")?;
    let choices = body.choices.ok_or_else(|| Invalid::field("choices", "is missing in the answer"))?;
    let choices =
        choices.into_iter().enumerate().map(|(at, choice)| whole(at, choice)).collect::<Result<_, _>>()?;
    Ok(ChatCompletion {
        id: body.id.unwrap_or_default(),
        model: model.into(),
        created_unix_seconds: seconds(body.created),
        choices,
    })
}

/// Reads one chunk of a stream: the data of one event. `model` is the name the request gave.
///
/// # Errors
/// When the data is not a JSON object.
pub fn decode_chat_event(json: &[u8], model: &str) -> Result<ChatDelta, Invalid> {
    let body = parse(json, "chunk")?;
    let choices = body.choices.unwrap_or_default();
    Ok(ChatDelta {
        id: body.id.unwrap_or_default(),
        model: model.into(),
        created_unix_seconds: seconds(body.created),
        choices: choices.into_iter().enumerate().map(|(at, choice)| delta(at, choice)).collect(),
    })
}

fn parse(body: &[u8], subject: &str) -> Result<Body, Invalid> {
    serde_json::from_slice(body).map_err(|error| Invalid::json(subject, &error))
}

/// Some servers write fractions of a second; `as` cuts them.
fn seconds(created: Option<f64>) -> i64 {
    created.unwrap_or_default() as i64
}

fn place(at: usize, index: Option<u32>) -> u32 {
    index.unwrap_or_else(|| u32::try_from(at).unwrap_or(u32::MAX))
}

fn whole(at: usize, choice: Choice) -> Result<ChatChoice, Invalid> {
    let said = choice
        .message
        .ok_or_else(|| Invalid::field(format!("choices[{at}].message"), "is missing in the answer"))?;
    let text = text(said.content);
    let part = |text| ContentPart { part: Some(Part::Text(text)) };
    // A call's index is for pieces; within a whole message their order tells.
    let calls = said
        .tool_calls
        .unwrap_or_default()
        .into_iter()
        .map(|call| ToolCall { index: 0, ..tool_call(0, call) });
    let message = ChatMessage {
        role: ChatRole::Assistant.into(),
        content: Some(text).filter(|text| !text.is_empty()).map(part).into_iter().collect(),
        tool_calls: calls.collect(),
        refusal: said.refusal.unwrap_or_default(),
        ..ChatMessage::default()
    };
    let finish = choice.finish_reason.as_deref().map_or(FinishReason::Unspecified, finish);
    Ok(ChatChoice { index: place(at, choice.index), message: Some(message), finish_reason: finish.into() })
}

fn delta(at: usize, choice: Choice) -> ChoiceDelta {
    let said = choice.message.unwrap_or_default();
    let role = said.role.as_deref().map_or(ChatRole::Unspecified, role);
    let calls = said.tool_calls.unwrap_or_default().into_iter().enumerate();
    ChoiceDelta {
        index: place(at, choice.index),
        role: role.into(),
        content: text(said.content),
        refusal: said.refusal.unwrap_or_default(),
        tool_calls: calls.map(|(at, call)| tool_call(at, call)).collect(),
        finish_reason: choice.finish_reason.as_deref().map_or(FinishReason::Unspecified, finish).into(),
        reasoning_content: said.reasoning_content.or(said.reasoning).unwrap_or_default(),
    }
}

fn text(content: Option<Content>) -> String {
    match content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts.into_iter().filter_map(|part| part.text).collect(),
    }
}

fn tool_call(at: usize, call: Call) -> ToolCall {
    let (name, arguments) =
        call.function.map_or((None, None), |function| (function.name, function.arguments));
    ToolCall {
        id: call.id.unwrap_or_default(),
        name: name.unwrap_or_default(),
        arguments_json: arguments.unwrap_or_default(),
        index: place(at, call.index),
    }
}

fn role(role: &str) -> ChatRole {
    match role {
        "system" => ChatRole::System,
        "developer" => ChatRole::Developer,
        "user" => ChatRole::User,
        "tool" => ChatRole::Tool,
        _ => ChatRole::Assistant,
    }
}

fn finish(reason: &str) -> FinishReason {
    match reason {
        "length" => FinishReason::Length,
        "tool_calls" | "function_call" => FinishReason::ToolCalls,
        "content_filter" => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    }
}
