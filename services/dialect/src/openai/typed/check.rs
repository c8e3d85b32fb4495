//! Whether a typed prompt can be asked, and the facts that admission needs.

use headgate_proto::inference::v1::content_part::Part;
use headgate_proto::inference::v1::response_format::Format;
use headgate_proto::inference::v1::tool_choice::Mode;
use headgate_proto::inference::v1::{
    BodyFacts, ChatMessage, ChatPrompt, ChatRole, EmbeddingInput, ResponseFormat, Tool, ToolChoice,
};
use serde_json::value::RawValue;

use crate::Invalid;
use crate::openai::json::count;

/// What a template puts around a message or a text, at most, in tokens.
const MARKERS: usize = 16;
const MOST_CHOICES: u32 = 128;
const MOST_STOPS: usize = 4;
const LONGEST_NAME: usize = 64;

/// Checks a prompt against what the contract says of its fields, and reads its facts. `prompt_bytes` is an upper bound
/// of the prompt's tokens (an image given by a link is not covered); `include_usage` is false, as typed streams carry
/// usage anyway.
///
/// # Errors
/// On the first field that breaks its rule, named as a path like `messages[0].role`.
pub fn check_chat(prompt: &ChatPrompt) -> Result<BodyFacts, Invalid> {
    if prompt.messages.is_empty() {
        return Err(Invalid::field("messages", "must be a non-empty array"));
    }
    for (at, message) in prompt.messages.iter().enumerate() {
        check_message(&format!("messages[{at}]"), message)?;
    }
    check_parameters(prompt)?;
    for (at, tool) in prompt.tools.iter().enumerate() {
        check_tool(&format!("tools[{at}]"), tool)?;
    }
    if let Some(choice) = &prompt.tool_choice {
        check_tool_choice(prompt, choice)?;
    }
    if let Some(format) = &prompt.response_format {
        check_format(format)?;
    }
    Ok(BodyFacts {
        max_output_tokens: prompt.max_output_tokens,
        choices: prompt.choices.unwrap_or(1),
        prompt_bytes: count(prompt_bytes(prompt)),
        ..BodyFacts::default()
    })
}

/// Checks texts to embed and reads their facts.
///
/// # Errors
/// When there is no text, an empty text, or `dimensions` is 0.
pub fn check_embed(input: &EmbeddingInput) -> Result<BodyFacts, Invalid> {
    if input.texts.is_empty() {
        return Err(Invalid::field("texts", "must be a non-empty array"));
    }
    if let Some(at) = input.texts.iter().position(String::is_empty) {
        return Err(Invalid::field(format!("texts[{at}]"), "must not be empty"));
    }
    within("dimensions", input.dimensions, 1, u32::MAX)?;
    let bytes = input.texts.iter().map(|text| text.len() + MARKERS).sum();
    Ok(BodyFacts { choices: 1, prompt_bytes: count(bytes), ..BodyFacts::default() })
}

fn check_message(path: &str, message: &ChatMessage) -> Result<(), Invalid> {
    let role = ChatRole::try_from(message.role).unwrap_or_default();
    if role == ChatRole::Unspecified {
        return Err(Invalid::field(format!("{path}.role"), "is required"));
    }
    if (role == ChatRole::Tool) == message.tool_call_id.is_empty() {
        let what = if role == ChatRole::Tool { "is required for a tool" } else { "is for tools only" };
        return Err(Invalid::field(format!("{path}.tool_call_id"), what));
    }
    if role != ChatRole::Assistant && !message.tool_calls.is_empty() {
        return Err(Invalid::field(format!("{path}.tool_calls"), "is for assistants only"));
    }
    if message.content.is_empty() && message.tool_calls.is_empty() && message.refusal.is_empty() {
        return Err(Invalid::field(format!("{path}.content"), "must not be empty"));
    }
    for (at, part) in message.content.iter().enumerate() {
        check_part(&format!("{path}.content[{at}]"), part.part.as_ref())?;
    }
    for (at, call) in message.tool_calls.iter().enumerate() {
        required(&format!("{path}.tool_calls[{at}].id"), &call.id)?;
        required(&format!("{path}.tool_calls[{at}].name"), &call.name)?;
    }
    Ok(())
}

fn check_part(path: &str, part: Option<&Part>) -> Result<(), Invalid> {
    match part {
        None => Err(Invalid::field(path, "must have a part")),
        Some(Part::Text(_)) => Ok(()),
        Some(Part::ImageUrl(image))
            if !image.url.starts_with("https://") && !image.url.starts_with("data:") =>
        {
            Err(Invalid::field(format!("{path}.image_url.url"), "must be an https or data url"))
        }
        Some(Part::ImageUrl(image)) if !["", "low", "high", "auto"].contains(&image.detail.as_str()) => {
            Err(Invalid::field(format!("{path}.image_url.detail"), "must be \"low\", \"high\" or \"auto\""))
        }
        Some(Part::ImageUrl(_)) => Ok(()),
    }
}

fn check_parameters(prompt: &ChatPrompt) -> Result<(), Invalid> {
    within("max_output_tokens", prompt.max_output_tokens, 1, u32::MAX)?;
    within("choices", prompt.choices, 1, MOST_CHOICES)?;
    within("temperature", prompt.temperature, 0.0, 2.0)?;
    within("top_p", prompt.top_p, 0.0, 1.0)?;
    within("frequency_penalty", prompt.frequency_penalty, -2.0, 2.0)?;
    within("presence_penalty", prompt.presence_penalty, -2.0, 2.0)?;
    if prompt.stop.len() > MOST_STOPS {
        return Err(Invalid::field("stop", "must have at most 4 texts"));
    }
    match prompt.stop.iter().position(String::is_empty) {
        Some(at) => Err(Invalid::field(format!("stop[{at}]"), "must not be empty")),
        None => Ok(()),
    }
}

fn check_tool(path: &str, tool: &Tool) -> Result<(), Invalid> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if tool.name.is_empty() || tool.name.len() > LONGEST_NAME || !tool.name.bytes().all(fits) {
        return Err(Invalid::field(
            format!("{path}.name"),
            "must be 1 to 64 letters, digits, underscores and dashes",
        ));
    }
    check_schema(&format!("{path}.parameters_json"), &tool.parameters_json)
}

fn check_tool_choice(prompt: &ChatPrompt, choice: &ToolChoice) -> Result<(), Invalid> {
    if choice.function_name.is_empty() {
        let mode = Mode::try_from(choice.mode).unwrap_or_default();
        if mode == Mode::Unspecified {
            return Err(Invalid::field("tool_choice.mode", "is required without a function name"));
        }
    } else if !prompt.tools.iter().any(|tool| tool.name == choice.function_name) {
        return Err(Invalid::field("tool_choice.function_name", "must name one of the tools"));
    }
    Ok(())
}

fn check_format(format: &ResponseFormat) -> Result<(), Invalid> {
    match &format.format {
        None => Err(Invalid::field("response_format", "must have a format")),
        Some(Format::JsonObject(_)) => Ok(()),
        Some(Format::JsonSchema(schema)) => {
            required("response_format.json_schema.name", &schema.name)?;
            check_schema("response_format.json_schema.schema_json", &schema.schema_json)
        }
    }
}

/// A JSON object as text, or nothing.
fn check_schema(path: &str, text: &str) -> Result<(), Invalid> {
    match serde_json::from_str::<&RawValue>(text) {
        _ if text.is_empty() => Ok(()),
        Ok(schema) if schema.get().starts_with('{') => Ok(()),
        Ok(_) => Err(Invalid::field(path, "must be a JSON object")),
        Err(error) => Err(Invalid::field(path, &format!("is not valid JSON: {error}"))),
    }
}

fn required(path: &str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() { Err(Invalid::field(path, "is required")) } else { Ok(()) }
}

/// Refuses what is unordered, as NaN is, too.
fn within<T: Copy + PartialOrd + std::fmt::Display>(
    path: &str,
    value: Option<T>,
    least: T,
    most: T,
) -> Result<(), Invalid> {
    match value {
        Some(value) if !(least..=most).contains(&value) => {
            Err(Invalid::field(path, &format!("must be between {least} and {most}")))
        }
        _ => Ok(()),
    }
}

fn prompt_bytes(prompt: &ChatPrompt) -> usize {
    let messages: usize = prompt.messages.iter().map(message_bytes).sum();
    let tools: usize = prompt
        .tools
        .iter()
        .map(|tool| tool.name.len() + tool.description.len() + tool.parameters_json.len() + MARKERS)
        .sum();
    let format = match prompt.response_format.as_ref().and_then(|format| format.format.as_ref()) {
        Some(Format::JsonSchema(schema)) => schema.name.len() + schema.schema_json.len() + MARKERS,
        _ => MARKERS,
    };
    messages + tools + format
}

fn message_bytes(message: &ChatMessage) -> usize {
    let parts = message.content.iter().map(|part| match &part.part {
        Some(Part::Text(text)) => text.len(),
        Some(Part::ImageUrl(image)) => image.url.len(),
        None => 0,
    });
    let calls = message
        .tool_calls
        .iter()
        .map(|call| call.id.len() + call.name.len() + call.arguments_json.len() + MARKERS);
    let fields = message.name.len() + message.tool_call_id.len() + message.refusal.len();
    parts.sum::<usize>() + calls.sum::<usize>() + fields + MARKERS
}
