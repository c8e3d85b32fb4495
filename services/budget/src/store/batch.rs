//! Statements over many rows, in few sizes, so that each is parsed once and then only bound and stepped.

/// Rows of a statement, the largest first. Any number of rows is a sum of these.
const SIZES: [usize; 3] = [100, 10, 1];

/// One statement, written out for every size.
pub(crate) struct Batched([String; SIZES.len()]);

impl Batched {
    /// Of `sql`, which writes the statement for a number of rows.
    pub(crate) fn new(sql: impl Fn(usize) -> String) -> Self {
        Self(SIZES.map(sql))
    }

    /// Splits rows into what each execution of the statement takes.
    pub(crate) fn over<'a, T>(
        &'static self,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        std::iter::from_fn(move || {
            let (size, sql) = SIZES.iter().zip(&self.0).find(|(size, _)| **size <= rows.len())?;
            let (now, later) = rows.split_at_checked(*size)?;
            rows = later;
            Some((sql.as_str(), now))
        })
    }
}

/// `rows` times `row`, with commas between. `row` has bare `?` only: SQLite looks numbered ones up one by one, which
/// grows with the square of their number.
pub(crate) fn repeat(row: &str, rows: usize) -> String {
    vec![row; rows].join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    #[test]
    fn every_row_goes_into_one_statement_of_its_size() {
        static BATCHED: LazyLock<Batched> = LazyLock::new(|| Batched::new(|rows| repeat("(?)", rows)));
        let rows: Vec<usize> = (0..231).collect();
        let split: Vec<_> = BATCHED.over(&rows).collect();
        assert_eq!(split.iter().map(|(_, rows)| rows.len()).collect::<Vec<_>>(), [100, 100, 10, 10, 10, 1]);
        assert!(split.iter().all(|(sql, rows)| sql.matches('?').count() == rows.len()));
        assert_eq!(split.iter().flat_map(|(_, rows)| rows.iter().copied()).collect::<Vec<_>>(), rows);
        assert_eq!(BATCHED.over::<usize>(&[]).count(), 0);
    }
}
