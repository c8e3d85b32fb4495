//! Signing keys and voided tokens.

use headgate_kit::db::{self, Tx};
use headgate_kit::{execute, fetch};

use crate::BuildError;
use crate::signing::SigningKey;
use crate::voided::{Voided, Whose};

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    sealed_private_key: String,
    signs_from_unix_ms: i64,
}

#[derive(sqlx::FromRow)]
struct VoidedRow {
    kind: String,
    id: String,
    generation: i64,
    until_unix_ms: i64,
}

/// Keys that were made after a revision.
pub(super) async fn signing_keys(tx: &mut Tx, revision: i64) -> Result<Vec<SigningKey>, BuildError> {
    let rows: Vec<KeyRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT id, sealed_private_key, signs_from_unix_ms FROM signing_keys WHERE revision > $1",
        )
        .bind(revision)
        .fetch_all(conn)
    })
    .map_err(db::Error::from)?;
    rows.into_iter().map(SigningKey::try_from).collect()
}

/// What was voided after a revision.
pub(super) async fn voided(tx: &mut Tx, revision: i64) -> Result<Vec<Voided>, BuildError> {
    let rows: Vec<VoidedRow> = fetch!(tx.conn(), conn => {
        sqlx::query_as("SELECT kind, id, generation, until_unix_ms FROM voided_tokens WHERE revision > $1")
            .bind(revision)
            .fetch_all(conn)
    })
    .map_err(db::Error::from)?;
    rows.into_iter().map(Voided::try_from).collect()
}

pub(super) async fn put_signing_key(tx: &mut Tx, key: &SigningKey, revision: i64) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO signing_keys (id, sealed_private_key, signs_from_unix_ms, revision)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(&key.id)
        .bind(hex::encode(&key.sealed))
        .bind(key.signs_from_ms)
        .bind(revision)
        .execute(conn)
    })
    .map(drop)
}

pub(super) async fn put_voided(tx: &mut Tx, voided: &Voided, revision: i64) -> Result<(), sqlx::Error> {
    let (kind, id) = match &voided.whose {
        Whose::Session(id) => ("session", id),
        Whose::User(id) => ("user", id),
    };
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO voided_tokens (kind, id, generation, until_unix_ms, revision) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (kind, id) DO UPDATE SET generation = excluded.generation,
                 until_unix_ms = excluded.until_unix_ms, revision = excluded.revision",
        )
        .bind(kind)
        .bind(id)
        .bind(i64::try_from(voided.generation).unwrap_or(i64::MAX))
        .bind(voided.until_ms)
        .bind(revision)
        .execute(conn)
    })
    .map(drop)
}

impl TryFrom<KeyRow> for SigningKey {
    type Error = BuildError;

    fn try_from(row: KeyRow) -> Result<Self, BuildError> {
        let sealed = hex::decode(&row.sealed_private_key)
            .map_err(|_| BuildError::Corrupt(format!("signing key {}: malformed", row.id)))?;
        Ok(Self { id: row.id, sealed, signs_from_ms: row.signs_from_unix_ms })
    }
}

impl TryFrom<VoidedRow> for Voided {
    type Error = BuildError;

    fn try_from(row: VoidedRow) -> Result<Self, BuildError> {
        let whose = match row.kind.as_str() {
            "session" => Whose::Session(row.id),
            "user" => Whose::User(row.id),
            other => return Err(BuildError::Corrupt(format!("voided tokens of a {other:?}"))),
        };
        let generation = u64::try_from(row.generation)
            .map_err(|_| BuildError::Corrupt(format!("generation {}", row.generation)))?;
        Ok(Self { whose, generation, until_ms: row.until_unix_ms })
    }
}
