//! Tables `restricted_tenants`, `tenant_models` and `tenant_models_revisions`.

use std::collections::BTreeMap;

use headgate_kit::db::{self, Tx};
use headgate_kit::{execute, fetch};
use headgate_proto::catalog::v1::TenantModels;

use super::signed;
use crate::BuildError;

/// With those that were lifted.
pub(super) async fn load(tx: &mut Tx) -> Result<Vec<TenantModels>, BuildError> {
    let mut lists = revisions(tx).await?;
    let rows: Vec<(String, Option<String>)> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT r.tenant_id, m.model_name
             FROM restricted_tenants r LEFT JOIN tenant_models m ON m.tenant_id = r.tenant_id",
        )
        .fetch_all(conn)
    })
    .map_err(db::Error::from)?;
    for (tenant_id, name) in rows {
        let list = lists.entry(tenant_id.clone()).or_insert_with(|| unrestricted(tenant_id, 0));
        list.restricted = true;
        list.models.extend(name);
    }
    // Not by the database, whose order depends on its language.
    lists.values_mut().for_each(|list| list.models.sort());
    Ok(lists.into_values().collect())
}

/// What is known of every list whose changes were noted, but for what is on it.
async fn revisions(tx: &mut Tx) -> Result<BTreeMap<String, TenantModels>, BuildError> {
    let rows: Vec<(String, i64)> = fetch!(tx.conn(), conn => {
        sqlx::query_as("SELECT tenant_id, revision FROM tenant_models_revisions").fetch_all(conn)
    })
    .map_err(db::Error::from)?;
    Ok(rows.into_iter().map(|(id, revision)| (id.clone(), unrestricted(id, revision))).collect())
}

fn unrestricted(tenant_id: String, revision: i64) -> TenantModels {
    TenantModels { tenant_id, etag: revision.to_string(), ..TenantModels::default() }
}

pub(super) async fn put(tx: &mut Tx, list: &TenantModels, revision: u64) -> Result<(), sqlx::Error> {
    note(tx, &list.tenant_id, revision).await?;
    execute!(tx.conn(), conn => {
        sqlx::query("DELETE FROM tenant_models WHERE tenant_id = $1")
            .bind(&list.tenant_id)
        .execute(conn)
    })?;
    if !list.restricted {
        execute!(tx.conn(), conn => {
            sqlx::query("DELETE FROM restricted_tenants WHERE tenant_id = $1")
                .bind(&list.tenant_id)
            .execute(conn)
        })?;
        return Ok(());
    }
    execute!(tx.conn(), conn => {
        sqlx::query("INSERT INTO restricted_tenants (tenant_id) VALUES ($1) ON CONFLICT (tenant_id) DO NOTHING")
            .bind(&list.tenant_id)
        .execute(conn)
    })?;
    for name in &list.models {
        execute!(tx.conn(), conn => {
            sqlx::query("INSERT INTO tenant_models (tenant_id, model_name) VALUES ($1, $2)")
                .bind(&list.tenant_id)
                .bind(name)
            .execute(conn)
        })?;
    }
    Ok(())
}

async fn note(tx: &mut Tx, tenant_id: &str, revision: u64) -> Result<(), sqlx::Error> {
    execute!(tx.conn(), conn => {
        sqlx::query(
            "INSERT INTO tenant_models_revisions (tenant_id, revision) VALUES ($1, $2)
             ON CONFLICT (tenant_id) DO UPDATE SET revision = excluded.revision",
        )
        .bind(tenant_id)
        .bind(signed(revision)?)
    .execute(conn)
    })?;
    Ok(())
}
