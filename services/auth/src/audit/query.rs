//! Finding rows of the audit log.

use futures_util::{Stream, TryStreamExt as _};
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

/// How large a page may be, in bytes of what its things are shown as: far less than a message may be.
const MAX_BYTES: usize = 1024 * 1024;

/// A page of rows, newest first, and the token of the next one. It ends early where it would be too large.
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
        async move { some(query.build_query_as().fetch(pool)).await }
    })?;
    let is_large = rows.iter().map(Row::bytes).sum::<usize>() > MAX_BYTES;
    let page = if is_large { page.at_most(rows.len() - 1) } else { page.clone() };
    Ok(page.cut(rows.into_iter().map(AuditEvent::from), |event| &event.id))
}

/// The first rows, up to the one with which they get too large.
async fn some(
    mut rows: impl Stream<Item = Result<Row, sqlx::Error>> + Unpin,
) -> Result<Vec<Row>, sqlx::Error> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while bytes <= MAX_BYTES
        && let Some(row) = rows.try_next().await?
    {
        bytes += row.bytes();
        taken.push(row);
    }
    Ok(taken)
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
