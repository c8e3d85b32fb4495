//! When an upstream says to come back.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use jiff::fmt::rfc2822::DateTimeParser;

/// Longer waits than a day are no use to anyone and count as a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `retry-after-ms` (OpenAI and Azure), else `retry-after`: seconds or an HTTP date (RFC 9110, 10.2.3). `None`
/// when neither is there or can be read. A date that has passed is zero.
pub(super) fn read(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = |name| headers.get::<&str>(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = text("retry-after-ms").and_then(|value| value.parse::<f64>().ok()).map(|ms| ms / 1000.0);
    let seconds = millis.or_else(|| after(text(RETRY_AFTER.as_str())?, now_ms))?;
    // Not a number becomes zero, what is out of range the nearest that is in it.
    Some(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64()).max(0.0)))
}

fn after(value: &str, now_ms: i64) -> Option<f64> {
    if let Ok(seconds) = value.parse() {
        return Some(seconds);
    }
    let at = DateTimeParser::new().parse_timestamp(value).ok()?.as_millisecond();
    Some(at.saturating_sub(now_ms) as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        // 1994-11-06 08:49:37 UTC
        let now = 784_111_777_000;
        let cases = [
            ("retry-after", "7", Some(7_000)),
            ("retry-after", "0.5", Some(500)),
            ("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT", Some(3_000)),
            ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("retry-after", "999999999", Some(86_400_000)),
            ("retry-after", "-3", Some(0)),
            ("retry-after", "NaN", Some(0)),
            ("retry-after", "soon", None),
            ("retry-after-ms", "1500", Some(1_500)),
            ("x-other", "1", None),
        ];
        for (name, value, expected) in cases {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            let found = read(&headers, now).map(|after| after.as_millis());
            assert_eq!(found, expected, "{name}: {value}");
        }
    }
}
