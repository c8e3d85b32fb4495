//! What requests may say. Pure.

use headgate_kit::Failure;

const MAX_ID: usize = 64;
const MAX_NAME: usize = 128;
const SCOPES: [&str; 2] = ["chat", "embeddings"];
/// The last second of the year 9999, the largest that a protobuf timestamp may hold.
const LAST_SECOND: i64 = 253_402_300_799;

/// A name for people: up to 128 characters, none of them a control character.
pub(crate) fn label(field: &str, name: &str) -> Result<(), Failure> {
    if name.chars().count() > MAX_NAME {
        return Err(Failure::invalid(field, format!("{field} must have at most {MAX_NAME} characters")));
    }
    if name.chars().any(char::is_control) {
        return Err(Failure::invalid(field, format!("{field} must have no control characters")));
    }
    Ok(())
}

/// A label that is not empty.
pub(crate) fn name(field: &str, name: &str) -> Result<(), Failure> {
    if name.trim().is_empty() {
        return Err(Failure::invalid(field, format!("{field} must not be empty")));
    }
    label(field, name)
}

/// An id that somebody chose: 1 to 64 letters, digits, `_` and `-`.
pub(crate) fn id(field: &str, id: &str) -> Result<(), Failure> {
    let chars = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if chars && (1..=MAX_ID).contains(&id.len()) {
        return Ok(());
    }
    Err(Failure::invalid(field, format!("{field} must be 1 to {MAX_ID} letters, digits, '_' or '-'")))
}

/// Known operations, sorted and each once.
pub(crate) fn scopes(field: &str, scopes: &[String]) -> Result<Vec<String>, Failure> {
    if scopes.iter().any(|scope| !SCOPES.contains(&scope.as_str())) {
        let known = SCOPES.join(", ");
        return Err(Failure::invalid(field, format!("{field} must be among: {known}")));
    }
    let mut scopes = scopes.to_vec();
    scopes.sort();
    scopes.dedup();
    Ok(scopes)
}

/// A time after `now_ms`, in milliseconds.
pub(crate) fn future(field: &str, time: &prost_types::Timestamp, now_ms: i64) -> Result<i64, Failure> {
    if !(0..=LAST_SECOND).contains(&time.seconds) || !(0..1_000_000_000).contains(&time.nanos) {
        return Err(Failure::invalid(field, format!("{field} is not a valid time")));
    }
    let unix_ms = time.seconds * 1000 + i64::from(time.nanos) / 1_000_000;
    if unix_ms <= now_ms {
        return Err(Failure::invalid(field, format!("{field} must be in the future")));
    }
    Ok(unix_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_have_limits() {
        assert!(name("name", &"ü".repeat(128)).is_ok());
        assert!(name("name", &"ü".repeat(129)).is_err());
        assert!(name("name", " ").is_err() && label("name", "").is_ok());
        assert!(label("name", "a\nb").is_err());
        assert!(id("id", "tenant_A-1").is_ok() && id("id", &"a".repeat(64)).is_ok());
        assert!(id("id", "").is_err() && id("id", "a b").is_err() && id("id", &"a".repeat(65)).is_err());
    }

    #[test]
    fn scopes_are_known_sorted_and_distinct() {
        let given = |list: &[&str]| scopes("scopes", &list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>());
        assert_eq!(given(&["embeddings", "chat", "chat"]).unwrap(), ["chat", "embeddings"]);
        assert_eq!(given(&["admin"]).unwrap_err().metadata["field"], "scopes");
    }

    #[test]
    fn a_time_must_be_possible_and_lie_ahead() {
        let at = |seconds, nanos| future("expire_time", &prost_types::Timestamp { seconds, nanos }, 5_000);
        assert_eq!(at(5, 1_500_000), Ok(5_001));
        assert!(at(5, 0).is_err());
        for (seconds, nanos) in [(i64::MAX, 0), (-1, 0), (9, -1), (9, i32::MAX)] {
            assert!(at(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }
}
