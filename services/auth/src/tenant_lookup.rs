//! Finds tenants by a part of what they are called. Pure.

use headgate_kit::Failure;

use crate::model::Tenant;
use crate::validate;

const DEFAULT_ROWS: u32 = 20;
const MOST_ROWS: u32 = 100;

/// How many rows are wanted at most, of a question that may be asked.
pub(crate) fn rows(query: &str, page_size: u32) -> Result<usize, Failure> {
    validate::label("query", query)?;
    if page_size > MOST_ROWS {
        return Err(Failure::invalid("page_size", format!("page_size must be at most {MOST_ROWS}")));
    }
    let rows = if page_size == 0 { DEFAULT_ROWS } else { page_size };
    Ok(usize::try_from(rows).unwrap_or(usize::MAX))
}

/// The tenants whose name or id has the query in it, by name; `most` of them.
pub(crate) fn find<'a>(
    tenants: impl Iterator<Item = &'a Tenant>,
    query: &str,
    most: usize,
) -> Vec<&'a Tenant> {
    let query = query.trim().to_lowercase();
    let has = |text: &str| text.to_lowercase().contains(&query);
    let mut found: Vec<_> = tenants.filter(|tenant| has(&tenant.name) || has(&tenant.id)).collect();
    found.sort_by_cached_key(|tenant| (tenant.name.to_lowercase(), tenant.id.clone()));
    found.truncate(most);
    found
}

#[cfg(test)]
mod tests {
    use headgate_proto::auth::v1::TenantStatus;

    use super::*;

    fn found(query: &str, most: usize) -> Vec<String> {
        let tenant = |(id, name): (&str, &str)| Tenant {
            id: id.into(),
            name: name.into(),
            status: TenantStatus::Active,
            created_ms: 0,
            revision: 1,
        };
        let tenants = [("t1", "Zeta"), ("t2", "Äcker"), ("t3", "alpha"), ("acme", "Beta")].map(tenant);
        find(tenants.iter(), query, most).into_iter().map(|tenant| tenant.id.clone()).collect()
    }

    #[test]
    fn names_and_ids_are_looked_through_in_whatever_case() {
        assert_eq!(found("ETA", 9), ["acme", "t1"], "by name");
        assert_eq!(found("äck", 9), ["t2"]);
        assert_eq!(found(" T3 ", 9), ["t3"]);
        assert_eq!((found("", 9).len(), found("", 2)), (4, vec!["t3".to_owned(), "acme".to_owned()]));
        assert!(found("none", 9).is_empty());
    }

    #[test]
    fn questions_are_bounded() {
        assert_eq!((rows("", 0), rows("a", 100)), (Ok(20), Ok(100)));
        assert_eq!(rows("a", 101).unwrap_err().metadata["field"], "page_size");
        assert_eq!(rows(&"a".repeat(129), 0).unwrap_err().metadata["field"], "query");
    }
}
