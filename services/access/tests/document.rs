//! docs/RIGHTS.md says of every call what its option in the contract says.
#![expect(clippy::expect_used, reason = "a failure here is the test's")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use headgate_access::{Audience, Method, methods, role_name};

/// Whom a call answers, in the document's words.
fn audience(method: &Method) -> String {
    match method.audience {
        Audience::Public => "anyone".to_owned(),
        Audience::Consumer => "API keys".to_owned(),
        Audience::User => "who logged in".to_owned(),
        Audience::Tenant => role_name(method.role).to_owned(),
        Audience::SuperAdmin => "super admin".to_owned(),
        Audience::Peer => "services".to_owned(),
        Audience::Unspecified => "nobody".to_owned(),
    }
}

/// The table: a line for each service and audience, with its calls in the contract's order.
fn table() -> String {
    let mut services: BTreeMap<&str, Vec<(String, Vec<&str>)>> = BTreeMap::new();
    for method in methods() {
        let name = method.name.strip_prefix("headgate.").expect("a call of ours");
        let (service, call) = name.rsplit_once('.').expect("a full name");
        let groups = services.entry(service).or_default();
        let answers = audience(method);
        match groups.iter_mut().find(|(known, _)| *known == answers) {
            Some((_, calls)) => calls.push(call),
            None => groups.push((answers, vec![call])),
        }
    }
    let mut table = "| service | answers | calls |\n|---|---|---|\n".to_owned();
    for (service, groups) in services {
        for (answers, calls) in groups {
            writeln!(table, "| `{service}` | {answers} | {} |", calls.join(", ")).expect("memory");
        }
    }
    table
}

#[test]
fn the_document_says_what_the_contract_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/RIGHTS.md");
    let document = std::fs::read_to_string(&path).expect("docs/RIGHTS.md");
    let begin = document.find("| service |").expect("a table");
    let said: String = document[begin..]
        .lines()
        .take_while(|line| line.starts_with('|'))
        .fold(String::new(), |table, line| table + line + "\n");
    assert!(said == table(), "docs/RIGHTS.md differs from the contract. Its table should be:\n\n{}", table());
}
