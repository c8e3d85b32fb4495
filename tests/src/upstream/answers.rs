//! Documents of OpenAI's chat completions API, and of its older completions.

use serde_json::{Value, json};

use super::behaviour::{Answer, UsageReport};

/// What a chat or completions request asks for, as far as an answer depends on it.
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// Whether it is for completions, not chat.
    text: bool,
    choices: u32,
    limit: u32,
}

impl Asked {
    pub(super) fn read(path: &str, body: &Value) -> Self {
        let number = |name: &str| body[name].as_u64().and_then(|n| u32::try_from(n).ok());
        let prompts = match &body["prompt"] {
            Value::Array(prompts) if !prompts[0].is_number() => u32::try_from(prompts.len()).unwrap(),
            _ => 1,
        };
        Self {
            text: path == "/v1/completions",
            model: body["model"].as_str().unwrap_or_default().to_owned(),
            stream: body["stream"].as_bool().unwrap_or(false),
            include_usage: body["stream_options"]["include_usage"].as_bool().unwrap_or(false),
            choices: number("n").unwrap_or(1) * prompts,
            limit: number("max_completion_tokens").or(number("max_tokens")).unwrap_or(u32::MAX),
        }
    }
}

/// The documents of one answer.
pub(super) struct Documents<'a> {
    pub(super) answer: &'a Answer,
    pub(super) asked: &'a Asked,
}

impl Documents<'_> {
    /// Content chunks per choice.
    pub(super) fn chunks(&self) -> u32 {
        self.answer.chunks.min(self.asked.limit)
    }

    pub(super) fn tokens(&self) -> u32 {
        self.chunks() * self.asked.choices
    }

    pub(super) fn choices(&self) -> u32 {
        self.asked.choices
    }

    fn finish_reason(&self) -> &'static str {
        if self.asked.limit < self.answer.chunks { "length" } else { "stop" }
    }

    fn usage(&self) -> Value {
        let (prompt, completion) = (self.answer.prompt_tokens, self.tokens());
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": self.answer.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": self.answer.reasoning_tokens, "audio_tokens": 0,
                "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
            },
        })
    }

    /// The document's JSON text, with the undocumented members appended as they were given.
    fn text(&self, document: &Value) -> String {
        let mut text = document.to_string();
        if !self.answer.extra.is_empty() {
            text.truncate(text.len() - 1);
            text.push(',');
            text.push_str(&self.answer.extra);
            text.push('}');
        }
        text
    }

    pub(super) fn completion(&self) -> String {
        let content: String = (0..self.chunks()).map(word).collect();
        let message = json!({"role": "assistant", "content": content, "refusal": null, "annotations": []});
        let choices: Vec<Value> = (0..self.asked.choices)
            .map(|index| {
                let mut choice =
                    json!({"index": index, "logprobs": null, "finish_reason": self.finish_reason()});
                if self.asked.text {
                    choice["text"] = json!(content);
                } else {
                    choice["message"] = message.clone();
                }
                choice
            })
            .collect();
        let mut document = self.envelope("chat.completion", &choices);
        if self.answer.usage == UsageReport::AsAsked {
            document["usage"] = self.usage();
        }
        self.text(&document)
    }

    fn envelope(&self, object: &str, choices: &[Value]) -> Value {
        if self.asked.text {
            return json!({
                "id": "cmpl-mock", "object": "text_completion", "created": 1_700_000_000,
                "model": self.asked.model, "choices": choices, "system_fingerprint": "fp_mock",
            });
        }
        json!({
            "id": "chatcmpl-mock", "object": object, "created": 1_700_000_000, "model": self.asked.model,
            "choices": choices, "service_tier": "default", "system_fingerprint": "fp_mock",
        })
    }

    fn event(&self, choices: &[Value], usage: Option<Value>) -> String {
        let mut document = self.envelope("chat.completion.chunk", choices);
        if self.tells_usage() {
            document["usage"] = usage.unwrap_or(Value::Null);
        }
        format!("data: {}\n\n", self.text(&document))
    }

    fn tells_usage(&self) -> bool {
        self.asked.include_usage && self.answer.usage == UsageReport::AsAsked
    }

    fn delta(&self, choice: u32, delta: &Value, finish: Option<&str>) -> String {
        let choice = json!({"index": choice, "delta": delta, "logprobs": null, "finish_reason": finish});
        self.event(&[choice], None)
    }

    fn piece(&self, choice: u32, text: &str, finish: Option<&str>) -> String {
        let choice = json!({"text": text, "index": choice, "logprobs": null, "finish_reason": finish});
        self.event(&[choice], None)
    }

    /// What begins a choice; completions have nothing of the kind.
    pub(super) fn role_event(&self, choice: u32) -> Option<String> {
        let delta = json!({"role": "assistant", "content": "", "refusal": null});
        (!self.asked.text).then(|| self.delta(choice, &delta, None))
    }

    pub(super) fn content_event(&self, choice: u32, chunk: u32) -> String {
        if self.asked.text {
            return self.piece(choice, &word(chunk), None);
        }
        self.delta(choice, &json!({"content": word(chunk)}), None)
    }

    pub(super) fn finish_event(&self, choice: u32) -> String {
        if self.asked.text {
            return self.piece(choice, "", Some(self.finish_reason()));
        }
        self.delta(choice, &json!({}), Some(self.finish_reason()))
    }

    pub(super) fn usage_event(&self) -> Option<String> {
        self.tells_usage().then(|| self.event(&[], Some(self.usage())))
    }
}

/// The text of a content chunk.
fn word(chunk: u32) -> String {
    format!("w{chunk} ")
}
