//! Tables `providers` and `provider_details`.

use headgate_kit::db::{self, Tx};
use headgate_kit::{execute, fetch};
use headgate_proto::adapter::v1::{Deadlines, ProviderKind, SealedSecret};
use headgate_proto::catalog::v1 as proto;
use headgate_proto::timestamp;

use super::{signed, unix_ms, unsigned};
use crate::BuildError;
use crate::change::Provider;
use crate::validate;

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    kind: String,
    base_url: String,
    credential_key_id: Option<String>,
    credential: Option<Vec<u8>>,
    enabled: bool,
    connect_ms: i64,
    first_byte_ms: i64,
    inter_chunk_ms: i64,
    total_ms: i64,
    created_at_unix_ms: i64,
    // NULL where an earlier version made it.
    revision: Option<i64>,
    updated_at_unix_ms: Option<i64>,
    models: Option<String>,
}

/// By name: a column that a later version adds must not change what a statement returns that is prepared already.
const PROVIDERS: &str =
    "SELECT p.id, p.name, p.kind, p.base_url, p.credential_key_id, p.credential, p.enabled,
     p.connect_ms, p.first_byte_ms, p.inter_chunk_ms, p.total_ms, p.created_at_unix_ms,
     d.revision, d.updated_at_unix_ms, d.models
     FROM providers p LEFT JOIN provider_details d ON d.provider_id = p.id";

pub(super) async fn load(tx: &mut Tx) -> Result<Vec<Provider>, BuildError> {
    let rows: Vec<Row> =
        fetch!(tx.conn(), conn => sqlx::query_as(PROVIDERS).fetch_all(conn)).map_err(db::Error::from)?;
    rows.into_iter().map(Provider::try_from).collect()
}

pub(super) async fn put(tx: &mut Tx, provider: &Provider, revision: u64) -> Result<(), sqlx::Error> {
    let shown = &provider.shown;
    let deadlines = shown.deadlines.unwrap_or_default();
    let credential = provider.credential.as_ref();
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO providers (id, name, kind, base_url, credential_key_id, credential, enabled,
                 connect_ms, first_byte_ms, inter_chunk_ms, total_ms, created_at_unix_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, kind = excluded.kind,
                 base_url = excluded.base_url, credential_key_id = excluded.credential_key_id,
                 credential = excluded.credential, enabled = excluded.enabled,
                 connect_ms = excluded.connect_ms, first_byte_ms = excluded.first_byte_ms,
                 inter_chunk_ms = excluded.inter_chunk_ms, total_ms = excluded.total_ms",
        )
        .bind(&shown.id)
        .bind(&shown.name)
        .bind(kind_text(shown.kind()))
        .bind(&shown.base_url)
        .bind(credential.map(|sealed| &sealed.key_id))
        .bind(credential.map(|sealed| sealed.ciphertext.as_ref()))
        .bind(shown.is_active)
        .bind(i64::from(deadlines.connect_ms))
        .bind(i64::from(deadlines.first_byte_ms))
        .bind(i64::from(deadlines.inter_chunk_ms))
        .bind(i64::from(deadlines.total_ms))
        .bind(unix_ms(shown.created_at.as_ref()))
    .execute(conn)
    })?;
    put_details(tx, shown, revision).await
}

async fn put_details(tx: &mut Tx, shown: &proto::Provider, revision: u64) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO provider_details (provider_id, revision, updated_at_unix_ms, models)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (provider_id) DO UPDATE SET revision = excluded.revision,
                 updated_at_unix_ms = excluded.updated_at_unix_ms, models = excluded.models",
        )
        .bind(&shown.id)
        .bind(signed(revision)?)
        .bind(unix_ms(shown.updated_at.as_ref()))
        .bind(serde_json::Value::from(shown.models.clone()).to_string())
    .execute(conn)
    })?;
    Ok(())
}

pub(super) async fn remove(tx: &mut Tx, id: &str) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM providers WHERE id = $1").bind(id).execute(conn)
    })?;
    Ok(())
}

fn kind_text(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Echo => "echo",
        // Unspecified never gets here: it is refused.
        ProviderKind::Openai | ProviderKind::Unspecified => "openai",
    }
}

impl TryFrom<Row> for Provider {
    type Error = BuildError;

    fn try_from(row: Row) -> Result<Self, BuildError> {
        let kind = match row.kind.as_str() {
            "openai" => ProviderKind::Openai,
            "echo" => ProviderKind::Echo,
            other => return Err(BuildError::Corrupt(format!("provider {}: kind {other:?}", row.id))),
        };
        let deadlines = Deadlines {
            connect_ms: unsigned(row.connect_ms)?,
            first_byte_ms: unsigned(row.first_byte_ms)?,
            inter_chunk_ms: unsigned(row.inter_chunk_ms)?,
            total_ms: unsigned(row.total_ms)?,
        };
        let credential = row
            .credential_key_id
            .zip(row.credential)
            .map(|(key_id, ciphertext)| SealedSecret { key_id, ciphertext: ciphertext.into() });
        let models = row.models.as_deref().map(serde_json::from_str).transpose();
        let models = models.map_err(|cause| BuildError::Corrupt(format!("provider {}: {cause}", row.id)))?;
        let models = models.unwrap_or_default();
        let shown = proto::Provider {
            id: row.id,
            name: row.name,
            kind: kind.into(),
            base_url: row.base_url,
            has_credential: credential.is_some(),
            is_active: row.enabled,
            deadlines: validate::deadlines(Some(deadlines)),
            created_at: Some(timestamp(row.created_at_unix_ms)),
            updated_at: Some(timestamp(row.updated_at_unix_ms.unwrap_or(row.created_at_unix_ms))),
            etag: row.revision.unwrap_or_default().to_string(),
            models,
            is_healthy: true,
            ..Default::default()
        };
        Ok(Provider::new(shown, credential))
    }
}
