//! What the mock says, without I/O.

use headgate_bench_tools::stamp;

/// Tokens of every prompt.
pub(crate) const PROMPT_TOKENS: u64 = 12;
/// Tokens of every answer that is not streamed.
pub(crate) const COMPLETION_TOKENS: u64 = 40;

const HEAD: &str = concat!(
    r#"data: {"id":"chatcmpl-mock0000000000000000000000","object":"chat.completion.chunk","#,
    r#""created":1763000000,"model":"mock-model","#
);
const CHOICE: &str = r#""system_fingerprint":"fp_mock","choices":[{"index":0,"delta":"#;

/// A whole answer of about 600 bytes, the size of a short real one.
pub(crate) fn completion() -> String {
    let text =
        "The quick brown fox jumps over the lazy dog while the band plays on and nobody minds at all. "
            .repeat(2);
    serde_json::json!({
        "id": "chatcmpl-mock0000000000000000000000", "object": "chat.completion", "created": 1_763_000_000,
        "model": "mock-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text.trim_end(), "refusal": null},
                     "logprobs": null, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS,
                  "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
                  "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}},
        "system_fingerprint": "fp_mock"
    })
    .to_string()
}

/// A content chunk of about 230 bytes, stamped with the present time.
pub(crate) fn chunk(first: bool) -> String {
    let role = if first { r#""role":"assistant","# } else { "" };
    let content = stamp::content();
    format!(
        "{HEAD}{CHOICE}{{{role}\"content\":\"{content}\"}},\"logprobs\":null,\"finish_reason\":null}}]}}\n\n"
    )
}

/// The finish chunk, the usage chunk if it was asked for, and the end.
pub(crate) fn tail(chunks: u32, usage: bool) -> String {
    let mut tail = format!("{HEAD}{CHOICE}{{}},\"logprobs\":null,\"finish_reason\":\"stop\"}}]}}\n\n");
    if usage {
        let usage = serde_json::json!({
            "prompt_tokens": PROMPT_TOKENS, "completion_tokens": chunks,
            "total_tokens": PROMPT_TOKENS + u64::from(chunks),
        });
        tail.push_str(&format!("{HEAD}\"choices\":[],\"usage\":{usage}}}\n\n"));
    }
    tail.push_str("data: [DONE]\n\n");
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_json() {
        let stream = [chunk(true), chunk(false), tail(2, true)].concat();
        let events: Vec<_> =
            stream.split_terminator("\n\n").filter_map(|e| e.strip_prefix("data: ")).collect();
        let (done, events) = events.split_last().unwrap();
        assert_eq!((*done, events.len()), ("[DONE]", 4));
        let events: Vec<serde_json::Value> =
            events.iter().map(|e| serde_json::from_str(e).unwrap()).collect();
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(events[2]["choices"][0]["finish_reason"], "stop");
        assert_eq!(events[3]["usage"]["total_tokens"], 14);
    }
}
