//! Most chunks of an answer differ from the one before in their text and in nothing else. Such a chunk is known by
//! comparing what stands around the text, which costs a tenth of looking for its members.

use memchr::memmem;

use super::members::string_bytes;
use super::{Event, EventKind};

/// What stands before the text of a chunk of chat, and of completions, its opening quote included.
const OPENINGS: [&[u8]; 2] = [b"\"content\":\"", b"\"text\":\""];
/// After so many chunks in a row that were like none before, the stream's are each their own.
const MAX_MISSES: u8 = 8;

/// A chunk that was classified, without its text.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    /// What stands before the text, and what stands behind it, from the closing quote on. Empty when none is known.
    frame: Vec<u8>,
    /// Where in `frame` the text was.
    text_at: usize,
    lines: usize,
    misses: u8,
}

impl Familiar {
    /// Bytes of an event's text when all else in it is as it was in the known chunk, so that it is nothing but content.
    pub(super) fn text_bytes(&mut self, raw: &[u8], lines: usize) -> Option<usize> {
        let (before, behind) = self.frame.split_at_checked(self.text_at)?;
        let text = raw.strip_prefix(before).filter(|_| !before.is_empty() && lines == self.lines)?;
        // Text without a closing quote has nothing behind it, and is not like any chunk.
        let bytes = string_bytes(text);
        let same = bytes > 0 && text.get(bytes..) == Some(behind);
        if same {
            self.misses = 0;
        }
        same.then_some(bytes)
    }

    /// Remembers an event that [`Familiar::text_bytes`] did not know, if it is nothing but content.
    pub(super) fn learn(&mut self, event: &Event, lines: usize) {
        let plain = event.kind == EventKind::Content && event.usage.is_none() && !event.finish;
        if !plain || self.misses == MAX_MISSES {
            return;
        }
        self.misses += 1;
        let raw = event.raw.as_ref();
        let opening = OPENINGS.iter().find_map(|opening| Some(memmem::find(raw, opening)? + opening.len()));
        let Some((at, (before, text))) = opening.and_then(|at| Some((at, raw.split_at_checked(at)?))) else {
            return;
        };
        let bytes = string_bytes(text);
        // Something else that the model produced may stand in the chunk too.
        if u32::try_from(bytes) != Ok(event.output_bytes) {
            return;
        }
        self.frame.clear();
        self.frame.extend_from_slice(before);
        self.frame.extend_from_slice(text.get(bytes..).unwrap_or_default());
        (self.text_at, self.lines) = (at, lines);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{any, prop, proptest};

    use super::super::classify;
    use super::*;

    fn chunk(text: &str, behind: &str) -> Bytes {
        let text = serde_json::to_string(text).unwrap();
        Bytes::from(format!("data: {{\"choices\":[{{\"delta\":{{\"content\":{text}}}{behind}}}]}}\n\n"))
    }

    fn known(chunk: Bytes) -> Familiar {
        let mut familiar = Familiar::default();
        familiar.learn(&classify::event(chunk, 1), 1);
        familiar
    }

    #[test]
    fn another_text_is_known_and_nothing_else_is() {
        let mut familiar = known(chunk("a", ""));
        assert_eq!(familiar.text_bytes(&chunk("a longer \" one\n", ""), 1), Some(17));
        assert_eq!(familiar.text_bytes(&chunk("", ""), 1), None, "no content");
        assert_eq!(familiar.text_bytes(&chunk("b", ",\"finish_reason\":\"stop\""), 1), None);
        assert_eq!(familiar.text_bytes(&chunk("b", ""), 2), None);
        assert_eq!(familiar.text_bytes(b"data: {\"choices\":[{\"delta\":{\"content\":\"cut", 1), None);
        assert_eq!(Familiar::default().text_bytes(&chunk("a", ""), 1), None);
    }

    #[test]
    fn completions_are_known_too() {
        let like = |text: &str| {
            Bytes::from(format!("data: {{\"choices\":[{{\"text\":\"{text}\",\"index\":0}}]}}\n\n"))
        };
        assert_eq!(known(like("a")).text_bytes(&like("bcd"), 1), Some(3));
    }

    #[test]
    fn what_is_more_than_text_is_not_learned() {
        for more in [
            ",\"finish_reason\":\"stop\"",
            "}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1},\"x\":[{\"y\":1",
            ",\"content\":\"b\"",
        ] {
            let mut familiar = known(chunk("a", more));
            assert_eq!(familiar.text_bytes(&chunk("b", more), 1), None, "{more}");
        }
    }

    #[test]
    fn a_stream_of_chunks_that_are_all_different_is_given_up() {
        let mut familiar = Familiar::default();
        let like = |number: u8| chunk("a", &format!(",\"obfuscation\":\"{number}\""));
        for number in 0..=MAX_MISSES {
            familiar.learn(&classify::event(like(number), 1), 1);
        }
        assert!(familiar.text_bytes(&like(MAX_MISSES - 1), 1).is_some());
        assert!(familiar.text_bytes(&like(MAX_MISSES), 1).is_none());
    }

    proptest! {
        #[test]
        fn a_known_chunk_is_what_it_would_have_been_found_to_be(
            texts in prop::collection::vec(any::<String>(), 1..6),
            behind in prop::sample::select(vec!["", ",\"logprobs\":null", ",\"x\":{\"content\":\"y\"}", ",\"refusal\":\"r\""]),
        ) {
            let mut familiar = Familiar::default();
            for text in texts {
                let event = classify::event(chunk(&text, behind), 1);
                if let Some(bytes) = familiar.text_bytes(&event.raw, 1) {
                    let content = Event {
                        raw: event.raw.clone(),
                        kind: EventKind::Content,
                        usage: None,
                        finish: false,
                        output_bytes: u32::try_from(bytes).unwrap(),
                    };
                    assert_eq!(event, content);
                }
                familiar.learn(&event, 1);
            }
        }
    }
}
