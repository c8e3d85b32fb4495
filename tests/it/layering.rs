//! Who may depend on whom: the crate graph as docs/ARCHITECTURE.md draws it.
//!
//! A service knows another one only as a generated client, so that any of them can run in a process of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use headgate_tests::repo;
use serde_json::Value;

const PREFIX: &str = "headgate-";
const SERVICES: [&str; 7] =
    ["auth", "catalog", "router", "inference-adapter", "runtime-manager", "usage", "budget"];

type Graph = BTreeMap<String, BTreeSet<String>>;

/// What each crate of the workspace depends on within it, tests included.
fn graph() -> Graph {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(repo::root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let short = |name: &Value| name.as_str().unwrap().trim_start_matches(PREFIX).to_owned();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies");
            let local = dependencies.iter().filter(|dependency| !dependency["path"].is_null());
            (short(&package["name"]), local.map(|dependency| short(&dependency["name"])).collect())
        })
        .collect()
}

/// What a crate of this name may depend on. `None` for a crate that the rules don't know.
fn allowed(name: &str) -> Option<BTreeSet<&str>> {
    let allowed: &[&str] = match name {
        "proto" => &[],
        "kit" | "dialect" => &["proto"],
        "access" => &["proto", "kit"],
        "audit" => &["proto", "kit", "access"],
        "edge" | "router" | "inference-adapter" => &["proto", "kit", "dialect"],
        "tests" => &["proto", "kit", "access"],
        "headgate" => {
            let others = ["proto", "kit", "dialect", "access", "audit", "edge"];
            return Some(SERVICES.iter().copied().chain(others).collect());
        }
        name if SERVICES.contains(&name) => &["proto", "kit", "access", "audit"],
        _ => return None,
    };
    Some(allowed.iter().copied().collect())
}

/// Every dependency that the rules forbid, and every crate they don't know.
fn violations(graph: &Graph) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, dependencies) in graph {
        match allowed(name) {
            None => violations.push(format!("{name} has no place in the rules")),
            Some(allowed) => violations.extend(
                dependencies
                    .iter()
                    .filter(|dependency| !allowed.contains(dependency.as_str()))
                    .map(|dependency| format!("{name} must not depend on {dependency}")),
            ),
        }
    }
    violations
}

#[test]
fn no_crate_depends_on_what_it_must_not_know() {
    let graph = graph();
    assert_eq!(violations(&graph), Vec::<String>::new());
    for service in SERVICES {
        assert!(graph.contains_key(service), "there is no crate {service}");
    }
}

#[test]
fn a_service_that_knew_another_one_would_be_found() {
    let mut graph = graph();
    graph.get_mut("router").expect("the router").insert("budget".to_owned());
    assert_eq!(violations(&graph), ["router must not depend on budget"]);
}

/// The rules are an order, so that no circle can be drawn within them.
#[test]
fn the_rules_have_no_circle() {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = SERVICES
        .into_iter()
        .chain(["proto", "kit", "dialect", "access", "audit", "edge", "headgate"])
        .collect();
    while !open.is_empty() {
        let (ready, rest): (Vec<&str>, Vec<&str>) =
            open.into_iter().partition(|name| allowed(name).is_some_and(|allowed| allowed.is_subset(&known)));
        assert!(!ready.is_empty(), "a circle among {rest:?}");
        known.extend(ready);
        open = rest;
    }
}
