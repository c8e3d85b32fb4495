//! A typed prompt as a request body.

use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::response_format::Format;
use headgate_proto::inference::v1::tool_choice::Mode;
use headgate_proto::inference::v1::{
    ChatMessage, ChatPrompt, ChatRole, ContentPart, ResponseFormat, Tool, ToolCall, ToolChoice,
};
use serde::Serialize;
use serde_json::value::RawValue;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<StreamOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<ToolBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<FormatBody<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    tool_call_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    refusal: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<PartBody<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartBody<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: Image<'a> },
}

#[derive(Serialize)]
struct Image<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
struct Call<'a> {
    id: &'a str,
    function: CallFunction<'a>,
}

#[derive(Serialize)]
struct CallFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
struct ToolBody<'a> {
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Choice<'a> {
    Mode(&'static str),
    Function(NamedTool<'a>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "function")]
struct NamedTool<'a> {
    function: Named<'a>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FormatBody<'a> {
    JsonObject,
    JsonSchema { json_schema: Schema<'a> },
}

#[derive(Serialize)]
struct Schema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// The body of `POST /v1/chat/completions` for a prompt that [`check_chat`](super::check_chat) accepted.
///
/// `output_token_cap` lowers `max_output_tokens`, or sets it; it is written as `max_tokens`, which every server of the
/// dialect knows except OpenAI's own newest models. A stream also asks for its usage chunk. Schemas go as they are
/// written, number by number; one that is not JSON (which the check refuses) is left out.
pub fn encode_chat(prompt: &ChatPrompt, model: &str, stream: bool, output_token_cap: Option<u32>) -> Vec<u8> {
    let limits = [prompt.max_output_tokens, output_token_cap];
    let body = Body {
        model,
        messages: prompt.messages.iter().map(message).collect(),
        stream,
        stream_options: stream.then_some(StreamOptions { include_usage: true }),
        max_tokens: limits.into_iter().flatten().min(),
        temperature: prompt.temperature,
        top_p: prompt.top_p,
        frequency_penalty: prompt.frequency_penalty,
        presence_penalty: prompt.presence_penalty,
        stop: &prompt.stop,
        seed: prompt.seed,
        n: prompt.choices,
        tools: prompt.tools.iter().map(tool).collect(),
        tool_choice: prompt.tool_choice.as_ref().map(choice),
        parallel_tool_calls: prompt.parallel_tool_calls,
        response_format: prompt.response_format.as_ref().and_then(format),
        user: &prompt.user,
    };
    // Strings, numbers and checked JSON text always serialise.
    serde_json::to_vec(&body).unwrap_or_default()
}

fn message(message: &ChatMessage) -> Message<'_> {
    Message {
        role: role(message.role()),
        content: content(&message.content),
        name: &message.name,
        tool_calls: message.tool_calls.iter().map(call).collect(),
        tool_call_id: &message.tool_call_id,
        refusal: &message.refusal,
    }
}

fn role(role: ChatRole) -> &'static str {
    match role {
        ChatRole::System => "system",
        ChatRole::Developer => "developer",
        ChatRole::User | ChatRole::Unspecified => "user",
        ChatRole::Assistant => "assistant",
        ChatRole::Tool => "tool",
    }
}

/// One text as a string, which every server takes; anything else as parts.
fn content(parts: &[ContentPart]) -> Option<Content<'_>> {
    match parts {
        [] => None,
        [ContentPart { part: Some(Part::Text(text)) }] => Some(Content::Text(text)),
        parts => Some(Content::Parts(parts.iter().filter_map(part).collect())),
    }
}

fn part(part: &ContentPart) -> Option<PartBody<'_>> {
    Some(match part.part.as_ref()? {
        Part::Text(text) => PartBody::Text { text },
        Part::ImageUrl(image) => {
            PartBody::ImageUrl { image_url: Image { url: &image.url, detail: &image.detail } }
        }
    })
}

fn call(call: &ToolCall) -> Call<'_> {
    Call { id: &call.id, function: CallFunction { name: &call.name, arguments: &call.arguments_json } }
}

fn tool(tool: &Tool) -> ToolBody<'_> {
    ToolBody {
        function: Function {
            name: &tool.name,
            description: &tool.description,
            parameters: json(&tool.parameters_json),
            strict: tool.strict,
        },
    }
}

fn choice(choice: &ToolChoice) -> Choice<'_> {
    if !choice.function_name.is_empty() {
        return Choice::Function(NamedTool { function: Named { name: &choice.function_name } });
    }
    Choice::Mode(match choice.mode() {
        Mode::None => "none",
        Mode::Required => "required",
        Mode::Auto | Mode::Unspecified => "auto",
    })
}

fn format(format: &ResponseFormat) -> Option<FormatBody<'_>> {
    Some(match format.format.as_ref()? {
        Format::JsonObject(_) => FormatBody::JsonObject,
        Format::JsonSchema(schema) => FormatBody::JsonSchema {
            json_schema: Schema {
                name: &schema.name,
                schema: json(&schema.schema_json),
                strict: schema.strict,
            },
        },
    })
}

fn json(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}
