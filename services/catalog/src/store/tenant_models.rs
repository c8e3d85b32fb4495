//! Tables `restricted_tenants` and `tenant_models`.

use std::collections::BTreeMap;

use headgate_kit::db::{self, Tx};
use headgate_kit::{execute, fetch};
use headgate_proto::catalog::v1::TenantModels;

use crate::BuildError;

pub(super) async fn load(tx: &mut Tx) -> Result<Vec<TenantModels>, BuildError> {
    let rows: Vec<(String, Option<String>)> = fetch!(tx.conn(), conn => {
        sqlx::query_as(
            "SELECT r.tenant_id, m.model_name
             FROM restricted_tenants r LEFT JOIN tenant_models m ON m.tenant_id = r.tenant_id
             ORDER BY r.tenant_id, m.model_name",
        )
        .fetch_all(conn)
    })
    .map_err(db::Error::from)?;
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tenant_id, name) in rows {
        lists.entry(tenant_id).or_default().extend(name);
    }
    let list = |(tenant_id, models)| TenantModels { tenant_id, restricted: true, models };
    Ok(lists.into_iter().map(list).collect())
}

pub(super) async fn put(tx: &mut Tx, list: &TenantModels) -> Result<(), sqlx::Error> {
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
