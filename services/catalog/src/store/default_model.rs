//! Table `default_model`.

use headgate_kit::db::{self, Tx};
use headgate_kit::{execute, fetch};
use headgate_proto::catalog::v1::DefaultModel;
use headgate_proto::timestamp;

use super::{signed, unix_ms};
use crate::BuildError;

/// Without the model's name.
pub(super) async fn load(tx: &mut Tx) -> Result<Option<DefaultModel>, BuildError> {
    let row: Option<(String, i64, i64)> = fetch!(tx.conn(), conn => {
        sqlx::query_as("SELECT model_id, revision, updated_at_unix_ms FROM default_model").fetch_optional(conn)
    })
    .map_err(db::Error::from)?;
    Ok(row.map(|(model_id, revision, updated_at_unix_ms)| DefaultModel {
        model: String::new(),
        model_id,
        update_time: Some(timestamp(updated_at_unix_ms)),
        etag: revision.to_string(),
    }))
}

pub(super) async fn put(tx: &mut Tx, default: &DefaultModel, revision: u64) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => sqlx::query("DELETE FROM default_model").execute(conn))?;
    if default.model_id.is_empty() {
        return Ok(());
    }
    execute!(tx.conn(), conn => {
        sqlx::query("INSERT INTO default_model (id, model_id, revision, updated_at_unix_ms) VALUES (1, $1, $2, $3)")
            .bind(&default.model_id)
            .bind(signed(revision)?)
            .bind(unix_ms(default.update_time.as_ref()))
        .execute(conn)
    })?;
    Ok(())
}
