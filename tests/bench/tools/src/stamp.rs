//! The wall-clock microsecond at which a chunk was written, carried in its content as `@<micros> `: whoever reads the
//! chunk on the same machine knows how long it was on its way.

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01 UTC; 0 on a machine whose clock is before that.
#[must_use]
pub fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The content of a chunk that is written now.
#[must_use]
pub fn content() -> String {
    format!("@{} ", now_micros())
}

/// The stamp in the JSON of a chunk, if it is one of [`content`]'s.
#[must_use]
pub fn find(json: &[u8]) -> Option<u64> {
    let start = memchr::memmem::find(json, b"\"@")? + 2;
    let digits = json[start..].iter().take_while(|b| b.is_ascii_digit()).count();
    // A time of today has 16 digits.
    if !(11..=18).contains(&digits) {
        return None;
    }
    std::str::from_utf8(&json[start..start + digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stamped_is_found() {
        let before = now_micros();
        let json = format!(r#"{{"delta":{{"content":"{}"}}}}"#, content());
        let found = find(json.as_bytes());
        assert!(found.is_some_and(|at| before <= at && at <= now_micros()), "{found:?} in {json}");
    }

    #[test]
    fn other_content_has_no_stamp() {
        for json in
            [r#"{"content":"hello"}"#, r#"{"content":"@home"}"#, r#"{"content":"@12"}"#, r#"{"content":"@"#]
        {
            assert_eq!(find(json.as_bytes()), None, "{json}");
        }
    }
}
