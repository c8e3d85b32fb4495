//! Finding rows of the audit log.

use headgate_audit::id_floor;
use headgate_kit::db::Db;
use headgate_kit::fetch;
use headgate_kit::page::Page;
use headgate_proto::auth::v1::AuditEvent;
use sqlx::{Database, Encode, QueryBuilder, Type};

use super::row::Row;

/// Which rows. What is empty or unset does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Columns, and what stands there.
    pub texts: Vec<(&'static str, String)>,
    /// The number of an outcome.
    pub outcome: Option<i32>,
    /// At or after, in unix milliseconds.
    pub from_ms: Option<i64>,
    /// Before, in unix milliseconds.
    pub until_ms: Option<i64>,
}

/// A page of rows, newest first, and the token of the next one.
pub(crate) async fn page(
    db: &Db,
    filter: &Filter,
    page: &Page,
) -> Result<(Vec<AuditEvent>, String), sqlx::Error> {
    let rows: Vec<Row> = fetch!(db.read(), pool => {
        let mut query = QueryBuilder::new("SELECT * FROM audit_log WHERE TRUE");
        restrict(&mut query, filter);
        if !page.after.is_empty() {
            query.push(" AND id < ").push_bind(page.after.clone());
        }
        query.push(" ORDER BY id DESC LIMIT ").push_bind(page.rows());
        async move { query.build_query_as().fetch_all(pool).await }
    })?;
    Ok(page.cut(rows.into_iter().map(AuditEvent::from), |event| &event.id))
}

fn restrict<E>(query: &mut QueryBuilder<E>, filter: &Filter)
where
    E: Database,
    String: for<'q> Encode<'q, E> + Type<E>,
    i64: for<'q> Encode<'q, E> + Type<E>,
    i32: for<'q> Encode<'q, E> + Type<E>,
{
    for (column, value) in &filter.texts {
        query.push(" AND ").push(*column).push(" = ").push_bind(value.clone());
    }
    if let Some(outcome) = filter.outcome {
        query.push(" AND outcome = ").push_bind(outcome);
    }
    // By the id, which every index ends in.
    if let Some(from) = filter.from_ms {
        query.push(" AND id >= ").push_bind(id_floor(from));
    }
    if let Some(until) = filter.until_ms {
        query.push(" AND id < ").push_bind(id_floor(until));
    }
}
