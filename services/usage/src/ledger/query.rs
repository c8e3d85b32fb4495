//! Finding and summing rows.

use std::sync::LazyLock;

use headgate_kit::db::Db;
use headgate_kit::fetch;
use headgate_proto::record::v1::{Outcome, UsageRecord};
use sqlx::{Database, Encode, FromRow, QueryBuilder, Type};

use super::row::Row;

/// Which rows. Empty and unset fields do not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) tenant_id: String,
    pub(crate) key_id: String,
    pub(crate) model: String,
    pub(crate) request_id: String,
    /// Arrived at or after, in unix milliseconds.
    pub(crate) from_ms: Option<i64>,
    /// Arrived before, in unix milliseconds.
    pub(crate) until_ms: Option<i64>,
}

/// The last row of a page; the next page begins after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) started_at: i64,
    pub(crate) lease_id: String,
}

/// Rows, newest first.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<UsageRecord>,
    /// None on the last page.
    pub(crate) next: Option<Cursor>,
}

/// Sums over rows.
#[derive(Debug, Default, PartialEq, Eq, FromRow)]
pub(crate) struct Summary {
    pub(crate) requests: i64,
    pub(crate) failed_requests: i64,
    pub(crate) estimated_requests: i64,
    pub(crate) prompt_tokens: i64,
    pub(crate) completion_tokens: i64,
    pub(crate) total_tokens: i64,
    pub(crate) cached_tokens: i64,
    pub(crate) reasoning_tokens: i64,
    pub(crate) cost_nano_usd: i64,
}

pub(crate) async fn page(
    db: &Db,
    filter: &Filter,
    after: Option<&Cursor>,
    size: u32,
) -> Result<Page, sqlx::Error> {
    let mut rows: Vec<Row> = fetch!(db.read(), pool => {
        let mut query = QueryBuilder::new("SELECT * FROM usage_records WHERE TRUE");
        restrict(&mut query, filter);
        if let Some(after) = after {
            // The first condition lets the index find the place, the second is exact.
            query.push(" AND started_at <= ").push_bind(after.started_at);
            query.push(" AND (started_at < ").push_bind(after.started_at);
            query.push(" OR lease_id < ").push_bind(after.lease_id.clone()).push(")");
        }
        query.push(" ORDER BY started_at DESC, lease_id DESC LIMIT ").push_bind(i64::from(size) + 1);
        async move { query.build_query_as().fetch_all(pool).await }
    })?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let last = rows.last().map(|r| Cursor { started_at: r.started_at, lease_id: r.lease_id.clone() });
    let records = rows.into_iter().map(UsageRecord::try_from).collect::<Result<_, _>>()?;
    Ok(Page { records, next: last.filter(|_| more) })
}

pub(crate) async fn summary(db: &Db, filter: &Filter) -> Result<Summary, sqlx::Error> {
    fetch!(db.read(), pool => {
        let mut query = QueryBuilder::new(SUMS.as_str());
        restrict(&mut query, filter);
        async move { query.build_query_as().fetch_one(pool).await }
    })
}

static SUMS: LazyLock<String> = LazyLock::new(|| {
    let sum = |name: &str, of: &str| format!(", CAST(COALESCE(SUM({of}), 0) AS BIGINT) AS {name}");
    let succeeded = Outcome::Succeeded as i32;
    let sums = [
        sum("failed_requests", &format!("CASE WHEN outcome <> {succeeded} THEN 1 ELSE 0 END")),
        sum("estimated_requests", "CASE WHEN estimated THEN 1 ELSE 0 END"),
        sum("prompt_tokens", "prompt_tokens"),
        sum("completion_tokens", "completion_tokens"),
        sum("total_tokens", "prompt_tokens + completion_tokens"),
        sum("cached_tokens", "cached_tokens"),
        sum("reasoning_tokens", "reasoning_tokens"),
        sum("cost_nano_usd", "cost_nano_usd"),
    ];
    format!("SELECT COUNT(*) AS requests{} FROM usage_records WHERE TRUE", sums.concat())
});

fn restrict<E>(query: &mut QueryBuilder<E>, filter: &Filter)
where
    E: Database,
    String: for<'q> Encode<'q, E> + Type<E>,
    i64: for<'q> Encode<'q, E> + Type<E>,
{
    let texts = [
        (" AND tenant_id = ", &filter.tenant_id),
        (" AND key_id = ", &filter.key_id),
        (" AND model = ", &filter.model),
        (" AND request_id = ", &filter.request_id),
    ];
    for (sql, value) in texts.into_iter().filter(|(_, value)| !value.is_empty()) {
        query.push(sql).push_bind(value.clone());
    }
    if let Some(from) = filter.from_ms {
        query.push(" AND started_at >= ").push_bind(from);
    }
    if let Some(until) = filter.until_ms {
        query.push(" AND started_at < ").push_bind(until);
    }
}
