//! Echo's streams, made event by event as they are read.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Reply, words};

/// The answer as events: for every choice its role, its words one by one, and its end; then the usage, if asked for,
/// and the end marker.
pub(crate) fn events(reply: Reply, id: &str, created: i64) -> impl Iterator<Item = Bytes> + Send + use<> {
    let head = json!({
        "id": id, "object": "chat.completion.chunk", "created": created, "model": reply.model,
    });
    let mut head = format!("data: {head}");
    // What follows goes into the same object.
    head.pop();
    let mut stream = Events { reply, head, stage: Stage::Role, choice: 0, at: 0 };
    std::iter::from_fn(move || stream.step())
}

struct Events {
    reply: Reply,
    head: String,
    stage: Stage,
    choice: u32,
    /// Bytes of the text that were said in the round before this one.
    at: usize,
}

#[derive(Clone, Copy)]
enum Stage {
    Role,
    Words,
    Finish,
    Usage,
    Done,
    Over,
}

impl Events {
    /// Choices take turns.
    fn step(&mut self) -> Option<Bytes> {
        match self.stage {
            Stage::Role => {
                let event = self.delta(&json!({ "role": "assistant", "content": "" }), None);
                let next = if self.reply.text.is_empty() { Stage::Finish } else { Stage::Words };
                self.turn(next);
                Some(event)
            }
            Stage::Words => {
                let rest = self.reply.text.get(self.at..).unwrap_or_default();
                let word = words(rest).next().unwrap_or_default();
                let said = self.at + word.len();
                let event = self.delta(&json!({ "content": word }), None);
                let next = if said < self.reply.text.len() { Stage::Words } else { Stage::Finish };
                if self.turn(next) {
                    self.at = said;
                }
                Some(event)
            }
            Stage::Finish => {
                let event = self.delta(&json!({}), Some(self.reply.finish_reason));
                self.turn(if self.reply.include_usage { Stage::Usage } else { Stage::Done });
                Some(event)
            }
            Stage::Usage => {
                self.stage = Stage::Done;
                let usage = json!(self.reply.usage);
                Some(format!("{},\"choices\":[],\"usage\":{usage}}}\n\n", self.head).into())
            }
            Stage::Done => {
                self.stage = Stage::Over;
                Some(Bytes::from_static(b"data: [DONE]\n\n"))
            }
            Stage::Over => None,
        }
    }

    /// The next choice's turn; true when it was the last one's, and the next stage begins.
    fn turn(&mut self, next: Stage) -> bool {
        self.choice += 1;
        let round = self.choice == self.reply.choices;
        if round {
            self.choice = 0;
            self.stage = next;
        }
        round
    }

    fn delta(&self, delta: &Value, finish: Option<&str>) -> Bytes {
        let choice = json!([{
            "index": self.choice, "delta": delta, "logprobs": null, "finish_reason": finish,
        }]);
        format!("{},\"choices\":{choice}}}\n\n", self.head).into()
    }
}
