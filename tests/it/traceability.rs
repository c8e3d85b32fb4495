//! docs/TRACEABILITY.md names a test for every row, and only tests that there are.

use std::collections::BTreeSet;
use std::fs;

use headgate_tests::repo;

/// Before the name of an end-to-end test, or of some by their module.
const END_TO_END: &str = "it::";

/// The names of all end-to-end tests, e.g. "chat::targets_are_chosen_by_weight".
pub(crate) fn tests() -> BTreeSet<String> {
    let this = std::env::current_exe().expect("this test's own path");
    let list = ["--list", "--format", "terse"];
    let output = std::process::Command::new(this).args(list).output().expect("a list of tests");
    let text = String::from_utf8(output.stdout).expect("names in UTF-8");
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// What stands between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn exists(tests: &BTreeSet<String>, name: &str) -> bool {
    tests.iter().any(|test| test == name || test.starts_with(&format!("{name}::")))
}

#[test]
fn every_row_is_shown_by_tests_that_there_are() {
    let document = fs::read_to_string(repo::root().join("docs/TRACEABILITY.md")).unwrap();
    let tests = tests();
    let rows: Vec<Vec<&str>> = document
        .lines()
        .filter(|line| line.starts_with("| S"))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() > 70, "{} rows", rows.len());
    for row in &rows {
        let [id, what, place, shown] = row[..] else { panic!("four columns: {row:?}") };
        assert!(!what.is_empty() && !place.is_empty(), "{id}");
        assert!(shown.starts_with("the same") || spans(shown).next().is_some(), "{id} names no test");
    }
    let named = spans(&document).filter_map(|span| span.strip_prefix(END_TO_END)).filter(|name| *name != "…");
    let named: Vec<_> = named.collect();
    assert!(named.len() > 100, "{} tests", named.len());
    let gone: Vec<_> = named.into_iter().filter(|name| !exists(&tests, name)).collect();
    assert!(gone.is_empty(), "docs/TRACEABILITY.md names tests that there are not: {gone:?}");
}
