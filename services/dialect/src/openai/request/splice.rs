//! The changes the gateway may make to a body on its way to an upstream of the same dialect.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use headgate_proto::inference::v1::body_facts::{Place, Places};

use super::Peek;
use super::values::{at, range};
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
    let mut plan = Plan { body, edits: Vec::new(), added: String::new() };
    let places = &peek.places;
    if let Some(model) = splice.model.filter(|model| peek.model.as_deref() != Some(model)) {
        plan.set("model", places.model, quoted(model).into());
    }
    if let Some(stream) = splice.stream.filter(|stream| *stream != peek.stream || places.stream.is_none()) {
        plan.set("stream", places.stream, if stream { "true" } else { "false" }.into());
    }
    if splice.include_usage && !peek.include_usage {
        plan.include_usage(places);
    }
    if let Some(limit) = splice.max_output_tokens {
        plan.limit(places, limit);
    }
    plan.apply()
}

struct Plan<'a> {
    body: &'a Bytes,
    edits: Vec<(Range<usize>, Text)>,
    /// Members that are added, each with a comma behind it.
    added: String,
}

type Text = Cow<'static, str>;

impl Plan<'_> {
    fn set(&mut self, key: &str, place: Option<Place>, value: Text) {
        match place {
            Some(place) if self.body.get(range(place)) == Some(value.as_bytes()) => {}
            Some(place) => self.edits.push((range(place), value)),
            // A body that was accepted has members, so one always follows.
            None => self.added.extend(["\"", key, "\":", &*value, ","]),
        }
    }

    fn limit(&mut self, places: &Places, limit: u32) {
        let places =
            [("max_completion_tokens", places.max_completion_tokens), ("max_tokens", places.max_tokens)];
        let there = places.into_iter().filter(|(_, place)| place.is_some());
        let (unset, set): (Vec<_>, Vec<_>) =
            there.partition(|(_, place)| place.and_then(|place| at(self.body, place)) == Some("null"));
        if set.is_empty() {
            // One is enough: OpenAI refuses a body that sets both.
            let (key, place) = unset.first().copied().unwrap_or(("max_tokens", None));
            self.set(key, place, limit.to_string().into());
        }
        for (key, place) in set {
            self.set(key, place, limit.to_string().into());
        }
    }

    fn include_usage(&mut self, places: &Places) {
        if places.include_usage.is_some() {
            return self.set("include_usage", places.include_usage, "true".into());
        }
        let options = places.stream_options;
        match options.and_then(|place| Some((place, at(self.body, place)?.strip_prefix('{')?))) {
            Some((place, inside)) => {
                let empty = inside.trim_start().starts_with('}');
                let member = if empty { "\"include_usage\":true" } else { "\"include_usage\":true," };
                let start = range(place).start + 1;
                self.edits.push((start..start, member.into()));
            }
            None => self.set("stream_options", options, "{\"include_usage\":true}".into()),
        }
    }

    fn apply(mut self) -> Bytes {
        if !self.added.is_empty() {
            let open = self.body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
            self.edits.push((open..open, self.added.into()));
        }
        if self.edits.is_empty() {
            return self.body.clone();
        }
        self.edits.sort_by_key(|(place, _)| place.start);
        Bytes::from(edit(self.body, &self.edits))
    }
}
