//! The changes the gateway may make to a body on its way to an upstream of the same dialect.

use std::ops::Range;

use bytes::Bytes;

use super::{Options, Peek};
use crate::openai::json::{edit, quoted};

/// The allowed changes and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Splice<'a> {
    /// The model's name at the upstream. `None` leaves the body's.
    pub model: Option<&'a str>,
    /// Makes `stream_options.include_usage` true, keeping the other options. False leaves what is there.
    pub include_usage: bool,
    /// The most tokens the answer may have: replaces `max_completion_tokens` and `max_tokens`, whichever are set. Where
    /// neither is, one that is null gets it, or `max_tokens` is added, which every server of the dialect knows except
    /// OpenAI's own newest models. `None` leaves what is there.
    pub max_output_tokens: Option<u32>,
    /// Whether a stream is asked for. `None` leaves what is there.
    pub stream: Option<bool>,
}

/// Applies `splice` to the body that `peek` was read from. Every byte outside the changed values stays as it was; new
/// members are put first. Returns the same `Bytes`, not a copy, when nothing changes.
pub fn splice(body: &Bytes, peek: &Peek, splice: &Splice<'_>) -> Bytes {
    let mut plan = Plan { body, open: peek.spans.open, edits: Vec::new(), added: Vec::new() };
    if let Some(model) = splice.model.filter(|model| peek.model.as_deref() != Some(model)) {
        plan.set("model", peek.spans.model.as_ref(), quoted(model));
    }
    if let Some(stream) = splice.stream.filter(|stream| *stream != peek.stream || peek.spans.stream.is_none())
    {
        plan.set("stream", peek.spans.stream.as_ref(), stream.to_string());
    }
    if splice.include_usage && !peek.include_usage {
        plan.include_usage(peek.spans.stream_options.as_ref());
    }
    if let Some(limit) = splice.max_output_tokens {
        plan.limit(peek, limit);
    }
    plan.apply(peek.spans.empty)
}

struct Plan<'a> {
    body: &'a Bytes,
    open: usize,
    edits: Vec<(Range<usize>, String)>,
    added: Vec<String>,
}

impl Plan<'_> {
    fn set(&mut self, key: &str, place: Option<&Range<usize>>, value: String) {
        match place {
            Some(place) if self.body.get(place.clone()) == Some(value.as_bytes()) => {}
            Some(place) => self.edits.push((place.clone(), value)),
            None => self.added.push(format!("\"{key}\":{value}")),
        }
    }

    fn limit(&mut self, peek: &Peek, limit: u32) {
        let places = [
            ("max_completion_tokens", &peek.spans.max_completion_tokens),
            ("max_tokens", &peek.spans.max_tokens),
        ];
        let is_null = |place: &Range<usize>| self.body.get(place.clone()) == Some(b"null");
        let there = places.into_iter().filter_map(|(key, place)| Some((key, place.as_ref()?)));
        let (unset, set): (Vec<_>, Vec<_>) = there.partition(|(_, place)| is_null(place));
        if set.is_empty() {
            // One is enough: OpenAI refuses a body that sets both.
            let (key, place) =
                unset.first().map_or(("max_tokens", None), |(key, place)| (*key, Some(*place)));
            self.set(key, place, limit.to_string());
        }
        for (key, place) in set {
            self.set(key, Some(place), limit.to_string());
        }
    }

    fn include_usage(&mut self, options: Option<&Options>) {
        match options {
            Some(Options { include_usage: Some(place), .. }) => {
                self.edits.push((place.clone(), "true".into()))
            }
            Some(Options { value, is_object: true, empty, .. }) => {
                let comma = if *empty { "" } else { "," };
                let inside = value.start + 1;
                self.edits.push((inside..inside, format!("\"include_usage\":true{comma}")));
            }
            Some(Options { value, .. }) => {
                self.edits.push((value.clone(), "{\"include_usage\":true}".into()))
            }
            None => self.added.push("\"stream_options\":{\"include_usage\":true}".into()),
        }
    }

    fn apply(mut self, empty: bool) -> Bytes {
        if !self.added.is_empty() {
            let comma = if empty { "" } else { "," };
            self.edits.push((self.open..self.open, self.added.join(",") + comma));
        }
        if self.edits.is_empty() {
            return self.body.clone();
        }
        self.edits.sort_by_key(|(place, _)| place.start);
        Bytes::from(edit(self.body, &self.edits))
    }
}
