//! Logs: one JSON object a line on standard error. A line that is written for a request carries its `request_id` and
//! `trace_id`.

use std::fmt;

use serde::{Deserialize, Serialize};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format as Lines, Json, Writer, json};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::scope::{self, RequestContext};

/// What is logged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The least level, or directives as `tracing`'s `EnvFilter` takes them, e.g. `info,headgate_router=debug`.
    pub filter: String,
    /// `json` for machines, `text` for people.
    pub format: Format,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// One line of text.
    Text,
}

impl Default for Config {
    fn default() -> Self {
        Self { filter: "info".into(), format: Format::Json }
    }
}

impl Config {
    /// What is wrong with the values.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        EnvFilter::try_new(&self.filter).err().map(|e| ("filter", e.to_string())).into_iter().collect()
    }
}

/// What logs credentials when it may say everything, and so never may.
const SECRETIVE: [&str; 2] = ["async_nats=warn", "async_nats::connection=warn"];

/// Begins logging for the process. A second call changes nothing.
pub fn init(config: &Config) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter =
        SECRETIVE.iter().filter_map(|quiet| quiet.parse().ok()).fold(filter, EnvFilter::add_directive);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let begun = match config.format {
        Format::Json => lines.json().event_format(JsonLines::new()).try_init(),
        Format::Text => lines.with_timer(TimeAndRequest).try_init(),
    };
    if begun.is_err() {
        tracing::debug!("logging had begun already");
    }
}

/// One JSON object a line, `request_id` and `trace_id` its last members.
struct JsonLines(Lines<Json>);

impl JsonLines {
    fn new() -> Self {
        Self(json().flatten_event(true).with_current_span(false))
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(context) = scope::current() else { return self.0.format_event(ctx, to, event) };
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        to.write_str(&with_context(line, &context))
    }
}

fn with_context(mut line: String, RequestContext { id, trace }: &RequestContext) -> String {
    if let Some(end) = line.rfind('}') {
        // Of visible ASCII, these two alone are not themselves in JSON.
        let id = id.as_str().replace('\\', r"\\").replace('"', r#"\""#);
        line.insert_str(end, &format!(r#","request_id":"{id}","trace_id":"{}""#, trace.id()));
    }
    line
}

/// What a line of text begins with: the time, and for a request its id and its trace's.
struct TimeAndRequest;

impl FormatTime for TimeAndRequest {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        SystemTime.format_time(to)?;
        let named = |context: &RequestContext| write!(to, " {} {}", context.id.as_str(), context.trace.id());
        scope::with_current(named).unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::clock::Clock;
    use crate::request_id::X_REQUEST_ID;
    use crate::trace::TRACEPARENT;

    #[test]
    fn a_line_stays_one_json_object_whatever_the_id() {
        let (given, trace) = (r#"a"b\c},{"#, "0af7651916cd43dd8448eb211c80319c");
        let parent = HeaderValue::try_from(format!("00-{trace}-b7ad6b7169203331-01")).unwrap();
        let headers =
            HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_static(given)), (TRACEPARENT, parent)]);
        let context = RequestContext::of(&headers, &Clock::manual(0));
        let line = with_context("{\"message\":\"}\"}\n".into(), &context);
        assert!(line.ends_with("}\n"));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read, serde_json::json!({"message": "}", "request_id": given, "trace_id": trace}));
    }
}
