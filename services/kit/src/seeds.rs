//! What was last applied of what a configuration seeds: an entry is due when it is new there or says something else than
//! it did. Otherwise what became of it since stands, also where that is nothing.
//!
//! What was applied is kept in the table `bootstrap_applied` of the service's database, as digests that are sealed, as a
//! stolen database must not let anybody try what a secret might be. A database that has none yet, also one of an earlier
//! version, has everything applied once.

use std::collections::{HashMap, HashSet};

use headgate_proto::adapter::v1::SealedSecret;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::db::Tx;
use crate::seal::MasterKey;
use crate::{Failure, execute, fetch};

/// Which thing an entry is about: its kind, and its name among those.
type Thing = (String, String);

/// What a configuration says of one thing.
#[derive(Clone)]
pub struct Entry {
    thing: Thing,
    digest: String,
}

/// What was last applied of an entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    thing: Thing,
    sealed: SealedSecret,
}

/// What there is to do about the entries of a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Due {
    things: HashSet<Thing>,
    noted: Vec<Applied>,
    forgotten: Vec<Thing>,
}

impl Entry {
    /// `said` is the entry as it was read, but for its secrets, which it may hide. What is null in it counts for nothing,
    /// so that fields which are unset may be added to entries without making them others.
    ///
    /// # Errors
    /// INTERNAL when it cannot be written as JSON.
    pub fn new(
        kind: &str,
        name: &str,
        said: &impl Serialize,
        secrets: &[Option<&SecretString>],
    ) -> Result<Self, Failure> {
        let mut said = serde_json::to_value(said).map_err(Failure::internal)?;
        strip(&mut said);
        let secrets: Vec<_> =
            secrets.iter().map(|secret| secret.map(|secret| secret.expose_secret())).collect();
        let form = serde_json::to_vec(&(said, secrets)).map_err(Failure::internal)?;
        let digest = hex::encode(Sha256::digest(form));
        Ok(Self { thing: (kind.to_owned(), name.to_owned()), digest })
    }
}

impl Due {
    /// What is due, given what was applied. Where the configuration says nothing at all, nothing is forgotten: the
    /// replica beside may say it.
    ///
    /// # Errors
    /// INTERNAL when a digest cannot be sealed.
    pub fn of(entries: &[Entry], applied: &[Applied], key: &MasterKey) -> Result<Self, Failure> {
        let mut due = Self::default();
        let known: HashMap<_, _> = applied.iter().map(|known| (&known.thing, known)).collect();
        for entry in entries {
            let known = known.get(&entry.thing);
            let stands = known.is_some_and(|known| known.is_of(entry, key));
            if !stands {
                due.things.insert(entry.thing.clone());
            }
            if !stands || known.is_some_and(|known| !key.sealed(&known.sealed)) {
                due.noted.push(Applied::seal(entry, key)?);
            }
        }
        if !entries.is_empty() {
            let named: HashSet<_> = entries.iter().map(|entry| &entry.thing).collect();
            let things = applied.iter().map(|known| &known.thing);
            due.forgotten = things.filter(|thing| !named.contains(thing)).cloned().collect();
        }
        Ok(due)
    }

    /// The same of these kinds alone.
    #[must_use]
    pub fn only(mut self, kinds: &[&str]) -> Self {
        self.things.retain(|(kind, _)| kinds.contains(&kind.as_str()));
        self.noted.retain(|noted| kinds.contains(&noted.thing.0.as_str()));
        self.forgotten.retain(|(kind, _)| kinds.contains(&kind.as_str()));
        self
    }

    /// Whether what is said of a thing is to be applied.
    #[must_use]
    pub fn has(&self, kind: &str, name: &str) -> bool {
        self.things.contains(&(kind.to_owned(), name.to_owned()))
    }

    /// Whether there is nothing to apply and nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.noted.is_empty() && self.forgotten.is_empty()
    }

    /// Notes what is applied, beside the change that applies it: it lasts if and only if that does.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn write(&self, tx: &mut Tx) -> Result<(), sqlx::Error> {
        for (kind, name) in &self.forgotten {
            execute!(tx.conn(), conn => {
                sqlx::query("DELETE FROM bootstrap_applied WHERE kind = $1 AND name = $2")
                    .bind(kind)
                    .bind(name)
                    .execute(conn)
            })?;
        }
        for Applied { thing: (kind, name), sealed } in &self.noted {
            execute!(tx.conn(), conn => {
                sqlx::query(
                    "INSERT INTO bootstrap_applied (kind, name, key_id, sealed_digest) VALUES ($1, $2, $3, $4)
                     ON CONFLICT (kind, name) DO UPDATE SET
                         key_id = excluded.key_id, sealed_digest = excluded.sealed_digest",
                )
                .bind(kind)
                .bind(name)
                .bind(&sealed.key_id)
                .bind(sealed.ciphertext.to_vec())
                .execute(conn)
            })?;
        }
        Ok(())
    }
}

impl Applied {
    fn seal(entry: &Entry, key: &MasterKey) -> Result<Self, Failure> {
        let sealed = key.seal(&purpose(&entry.thing), &entry.digest).map_err(Failure::internal)?;
        Ok(Self { thing: entry.thing.clone(), sealed })
    }

    /// Whether it is this that was applied. What does not open might be anything.
    fn is_of(&self, entry: &Entry, key: &MasterKey) -> bool {
        let opened = key.open(&purpose(&self.thing), &self.sealed).ok().flatten();
        opened.is_some_and(|digest| digest.expose_secret() == entry.digest)
    }
}

/// What was applied, as of a transaction in which nobody else applies anything.
///
/// # Errors
/// When the database is away.
pub async fn applied(tx: &mut Tx) -> Result<Vec<Applied>, sqlx::Error> {
    const ALL: &str = "SELECT kind, name, key_id, sealed_digest FROM bootstrap_applied";
    let rows: Vec<(String, String, String, Vec<u8>)> =
        fetch!(tx.conn(), conn => sqlx::query_as(ALL).fetch_all(conn))?;
    let applied = |(kind, name, key_id, digest): (_, _, _, Vec<u8>)| Applied {
        thing: (kind, name),
        sealed: SealedSecret { key_id, ciphertext: digest.into() },
    };
    Ok(rows.into_iter().map(applied).collect())
}

fn purpose((kind, name): &Thing) -> String {
    format!("bootstrap {kind} {name}")
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(digits: &str) -> MasterKey {
        MasterKey::parse(&digits.repeat(32)).unwrap()
    }

    fn entry(name: &str, said: &Value) -> Entry {
        Entry::new("thing", name, said, &[Some(&"hunter2".into()), None]).unwrap()
    }

    fn due(entries: &[Entry], applied: &[Applied], key: &MasterKey) -> (Vec<String>, Due) {
        let due = Due::of(entries, applied, key).unwrap();
        let mut names: Vec<_> = due.things.iter().map(|(_, name)| name.clone()).collect();
        names.sort();
        (names, due)
    }

    #[test]
    fn what_is_new_or_says_something_else_is_due_and_what_is_gone_is_forgotten() {
        let key = key("5a");
        let (a, b) = (entry("a", &json!({"x": 1})), entry("b", &json!({"x": 1})));
        let (names, first) = due(&[a.clone(), b.clone()], &[], &key);
        assert_eq!(
            (names, first.has("thing", "a"), first.has("other", "a")),
            (vec!["a".into(), "b".into()], true, false)
        );
        let (names, again) = due(&[a.clone(), b.clone()], &first.noted, &key);
        assert!(names.is_empty() && again.is_empty());
        let (names, changed) = due(&[entry("a", &json!({"x": 2})), b.clone()], &first.noted, &key);
        assert_eq!((names, changed.noted.len(), changed.forgotten.len()), (vec!["a".into()], 1, 0));
        let (names, gone) = due(&[b], &first.noted, &key);
        assert!(names.is_empty() && gone.noted.is_empty() && !gone.is_empty());
        assert_eq!(gone.forgotten, [("thing".to_owned(), "a".to_owned())]);
        assert!(due(&[], &first.noted, &key).1.is_empty(), "who says nothing forgets nothing");
        assert!(first.clone().only(&["other"]).is_empty() && gone.clone().only(&["other"]).is_empty());
        assert_eq!((first.clone().only(&["thing"]), gone.clone().only(&["thing"])), (first, gone));
    }

    #[test]
    fn the_order_of_fields_and_what_is_null_count_for_nothing_and_secrets_do() {
        let digest = |said: &Value, secret: Option<&str>| {
            let secret = secret.map(SecretString::from);
            Entry::new("thing", "a", said, &[secret.as_ref()]).unwrap().digest
        };
        let one = digest(&json!({"x": [{"y": 1, "z": "[redacted]"}], "w": 2}), Some("s"));
        assert_eq!(
            one,
            digest(&json!({"w": 2, "x": [{"z": "[redacted]", "y": 1, "n": null}], "n": null}), Some("s"))
        );
        assert_ne!(one, digest(&json!({"x": [{"y": 1, "z": "[redacted]"}], "w": 2}), Some("t")));
        assert_ne!(digest(&json!({}), None), digest(&json!({}), Some("")));
        assert_ne!(
            digest(&json!({"x": []}), None),
            digest(&json!({}), None),
            "an empty list may mean something"
        );
    }

    #[test]
    fn what_an_earlier_key_sealed_stands_and_is_sealed_anew_and_what_does_not_open_is_due() {
        let (old, new) = (key("5a"), key("c3").with_previous(vec![key("5a")]));
        let a = [entry("a", &json!({"x": 1}))];
        let (_, first) = due(&a, &[], &old);
        let digest = a[0].digest.as_bytes();
        assert!(!first.noted[0].sealed.ciphertext.windows(digest.len()).any(|window| window == digest));
        let (names, rotated) = due(&a, &first.noted, &new);
        assert!(names.is_empty() && new.sealed(&rotated.noted[0].sealed));
        assert!(due(&a, &rotated.noted, &key("c3")).1.is_empty());
        assert_eq!(due(&a, &first.noted, &key("c3")).0, ["a"]);
        let moved = Applied { thing: ("thing".into(), "b".into()), sealed: first.noted[0].sealed.clone() };
        assert_eq!(
            due(&[entry("b", &json!({"x": 1}))], &[moved], &old).0,
            ["b"],
            "it is sealed for its thing"
        );
    }
}
