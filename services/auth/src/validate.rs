//! What requests may say. Pure.

use std::collections::BTreeMap;

use headgate_kit::Failure;
use headgate_kit::network::Network;

const MAX_ID: usize = 64;
const MAX_NAME: usize = 128;
const SCOPES: [&str; 2] = ["chat", "embeddings"];
const MAX_MODELS: usize = 256;
const MAX_NETWORKS: usize = 100;
const MAX_NOTES: usize = 32;
const MAX_NOTE_NAME: usize = 64;
const MAX_NOTE: usize = 512;
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

/// A tenant's name: one that nobody mistakes for another because of white space around it.
pub(crate) fn tenant_name(field: &str, tenant: &str) -> Result<(), Failure> {
    name(field, tenant)?;
    if tenant.trim() == tenant {
        return Ok(());
    }
    Err(Failure::invalid(field, format!("{field} must not begin or end with white space")))
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

/// Names of models, sorted and each once. Whether there are such models is not asked: they may come yet.
pub(crate) fn models(field: &str, models: &[String]) -> Result<Vec<String>, Failure> {
    bounded(field, models, MAX_MODELS)?;
    for model in models {
        name(field, model)?;
    }
    let mut models = models.to_vec();
    models.sort();
    models.dedup();
    Ok(models)
}

/// Addresses and networks, as they were given.
pub(crate) fn networks(field: &str, networks: &[String]) -> Result<Vec<String>, Failure> {
    bounded(field, networks, MAX_NETWORKS)?;
    if let Some(wrong) = networks.iter().find_map(|network| network.parse::<Network>().err()) {
        return Err(Failure::invalid(field, format!("{field}: {wrong}")));
    }
    Ok(networks.to_vec())
}

/// Notes by name.
pub(crate) fn metadata(field: &str, notes: &BTreeMap<String, String>) -> Result<(), Failure> {
    if notes.len() > MAX_NOTES {
        return Err(Failure::invalid(field, format!("{field} must have at most {MAX_NOTES} entries")));
    }
    let may_name = |b: u8| b.is_ascii_alphanumeric() || b"_-./".contains(&b);
    for (name, note) in notes {
        if !(1..=MAX_NOTE_NAME).contains(&name.len()) || !name.bytes().all(may_name) {
            let text =
                format!("{field}: names must be 1 to {MAX_NOTE_NAME} letters, digits, '_', '-', '.' or '/'");
            return Err(Failure::invalid(field, text));
        }
        // PostgreSQL keeps no text with a NUL, and nobody needs the others.
        if note.chars().count() > MAX_NOTE || note.chars().any(char::is_control) {
            let text = format!(
                "{field}.{name} must have at most {MAX_NOTE} characters, none of them a control character"
            );
            return Err(Failure::invalid(field, text));
        }
    }
    Ok(())
}

/// A user's id, or nobody's.
pub(crate) fn user_id(field: &str, user_id: String) -> Result<String, Failure> {
    if !user_id.is_empty() {
        id(field, &user_id)?;
    }
    Ok(user_id)
}

fn bounded(field: &str, list: &[String], most: usize) -> Result<(), Failure> {
    if list.len() > most {
        return Err(Failure::invalid(field, format!("{field} must have at most {most} entries")));
    }
    Ok(())
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
        assert!(tenant_name("name", "Acme Inc").is_ok() && tenant_name("name", "").is_err());
        assert!(["Acme ", " Acme", "Acme\u{a0}"].iter().all(|padded| tenant_name("name", padded).is_err()));
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
    fn models_are_sorted_and_distinct_and_bounded() {
        let given = |list: &[&str]| models("models", &list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>());
        assert_eq!(given(&["b", "a", "b"]).unwrap(), ["a", "b"]);
        assert!(given(&[""]).is_err() && given(&["a\nb"]).is_err());
        assert!(given(&["a"; 256]).is_ok() && given(&["a"; 257]).is_err());
    }

    #[test]
    fn networks_are_addresses_with_or_without_a_length() {
        let given =
            |list: &[&str]| networks("ip_allowlist", &list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>());
        assert_eq!(given(&["192.0.2.1", "2001:db8::/32"]).unwrap(), ["192.0.2.1", "2001:db8::/32"]);
        for bad in ["", "localhost", "192.0.2.0/33", "192.0.2.1 "] {
            assert_eq!(given(&[bad]).unwrap_err().metadata["field"], "ip_allowlist");
        }
        assert!(given(&["::1"; 101]).is_err());
    }

    #[test]
    fn notes_are_bounded() {
        let given =
            |name: &str, note: &str| metadata("metadata", &BTreeMap::from([(name.into(), note.into())]));
        assert!(given("cost-center/team.a_1", "Zürich").is_ok() && given("a", "").is_ok());
        assert!(
            given("", "x").is_err() && given("a b", "x").is_err() && given(&"a".repeat(65), "x").is_err()
        );
        assert!(given("a", &"ü".repeat(512)).is_ok() && given("a", &"ü".repeat(513)).is_err());
        assert!(given("a", "\0").is_err());
        let many = (0..33).map(|n| (n.to_string(), String::new())).collect();
        assert!(metadata("metadata", &many).is_err());
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
