//! Requests, decoded and checked.

use headgate_kit::error::Failure;
use headgate_proto::usage::v1::UsageFilter;
use prost_types::Timestamp;

use crate::ledger::{Cursor, Filter};

const DEFAULT_PAGE_SIZE: u32 = 100;
const MAX_PAGE_SIZE: u32 = 1000;

pub(crate) fn page_size(asked: u32) -> Result<u32, Failure> {
    match asked {
        0 => Ok(DEFAULT_PAGE_SIZE),
        1..=MAX_PAGE_SIZE => Ok(asked),
        _ => Err(Failure::invalid("page_size", format!("page_size must be at most {MAX_PAGE_SIZE}"))),
    }
}

/// A token is the last row's time and lease id, `<started_at>.<lease_id>`.
pub(crate) fn page_token(cursor: &Cursor) -> String {
    format!("{}.{}", cursor.started_at, cursor.lease_id)
}

pub(crate) fn read_page_token(token: &str) -> Result<Option<Cursor>, Failure> {
    if token.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (started_at, lease_id) = token.split_once('.')?;
        let started_at = started_at.parse().ok()?;
        (!lease_id.is_empty()).then(|| Cursor { started_at, lease_id: lease_id.to_owned() })
    };
    match read() {
        Some(cursor) => Ok(Some(cursor)),
        None => Err(Failure::invalid("page_token", "page_token is not one that was handed out")),
    }
}

pub(crate) fn filter(filter: UsageFilter) -> Result<Filter, Failure> {
    let from_ms = filter.start_time.map(|t| unix_millis("filter.start_time", t)).transpose()?;
    let until_ms = filter.end_time.map(|t| unix_millis("filter.end_time", t)).transpose()?;
    if let (Some(from), Some(until)) = (from_ms, until_ms)
        && until < from
    {
        return Err(Failure::invalid("filter.end_time", "end_time must not be before start_time"));
    }
    Ok(Filter {
        tenant_id: filter.tenant_id,
        key_id: filter.key_id,
        model: filter.model,
        request_id: filter.request_id,
        from_ms,
        until_ms,
    })
}

/// Rounded up: rows have whole milliseconds, so "at or after" and "before" a part of one mean the next whole one.
fn unix_millis(field: &str, time: Timestamp) -> Result<i64, Failure> {
    let nanos = u32::try_from(time.nanos).ok().filter(|n| *n < 1_000_000_000);
    let millis = nanos
        .and_then(|nanos| time.seconds.checked_mul(1000)?.checked_add(i64::from(nanos.div_ceil(1_000_000))));
    millis.ok_or_else(|| Failure::invalid(field, format!("{field} is not a valid time")))
}
