//! Whether the tables say everything: no call, path, field or row without a line.

use std::collections::{BTreeMap, BTreeSet};

use headgate_proto::descriptors;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage as _};
use serde_json::Value;

use super::pattern::{is_absent, is_optional, of_items, spelled_out};
use super::table::{Line, all};
use crate::traceability::tests;

/// The rows that the tables are for.
const ROWS: [&str; 46] = [
    "S0-2", "S0-4", "S0-5", "S0-6", "S0-7", "S0-17", "S0-18", "S1-12", "S1-13", "S1-14", "S1-15", "S1-16",
    "S1-17", "S1-18", "S1-19", "S1-20", "S1-23", "S1-24", "S1-34", "S1-43", "S1-44", "S1-45", "S1-46",
    "S1-47", "S1-67", "S2-5", "S2-8", "S2-12", "S2-14", "S3-7", "S3-8", "S3-15", "S3-16", "S4-1", "S4-2",
    "S4-3", "S4-4", "S4-5", "S4-6", "S4-7", "S4-9", "S4-10", "S4-11", "S4-19", "S4-20", "S4-22",
];

/// A field, by its message's full name and its own.
type Field = (String, String);

/// A call that people make over REST, with its methods and paths.
fn calls() -> Vec<(MethodDescriptor, BTreeSet<String>)> {
    let contract = descriptors().expect("the contract");
    let http = contract.get_extension_by_name("google.api.http").expect("the option for HTTP");
    let methods = contract.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let with_paths = methods.filter_map(|method| {
        let options = method.options();
        let rule = options.has_extension(&http).then(|| options.get_extension(&http))?;
        let mut paths = BTreeSet::new();
        add_paths(rule.as_message().expect("a rule"), &mut paths);
        Some((method, paths))
    });
    with_paths.collect()
}

fn add_paths(rule: &DynamicMessage, paths: &mut BTreeSet<String>) {
    for field in rule.descriptor().fields().filter(|field| rule.has_field(field)) {
        let value = rule.get_field(&field);
        match (field.name(), value.as_str()) {
            (verb @ ("get" | "put" | "post" | "delete" | "patch"), Some(path)) => {
                paths.insert(format!("{} {path}", verb.to_uppercase()));
            }
            ("custom", _) => panic!("{rule:?} has a verb of its own, which the tables cannot say yet"),
            _ => {
                let more = value.as_list().into_iter().flatten().filter_map(|more| more.as_message());
                more.for_each(|more| add_paths(more, paths));
            }
        }
    }
}

/// The lines of a call.
fn lines_of<'a>(lines: &'a [Line], method: &MethodDescriptor) -> Vec<&'a Line> {
    lines.iter().filter(|line| line.full_call().as_deref() == Some(method.full_name())).collect()
}

#[test]
fn every_path_of_every_call_stands_in_a_table() {
    let lines = all();
    let mut missing = Vec::new();
    for (method, paths) in calls() {
        let of_it = lines_of(&lines, &method);
        if !of_it.iter().any(|line| line.fails.is_none()) {
            missing.push(format!("{}: a line that is answered", method.full_name()));
        }
        let said: BTreeSet<_> = of_it.iter().flat_map(|line| line.paths.iter().cloned()).collect();
        missing.extend(paths.difference(&said).map(|path| format!("{}: {path}", method.full_name())));
        missing.extend(said.difference(&paths).map(|path| format!("{} has no {path}", method.full_name())));
    }
    assert!(missing.is_empty(), "add to tests/it/rows/*.yaml (see README.md there):\n{}", missing.join("\n"));
}

#[test]
fn every_field_of_every_call_stands_in_a_table() {
    let lines = all();
    let (mut wanted, mut said) = (BTreeMap::<Field, String>::new(), BTreeSet::<Field>::new());
    for (method, _) in calls() {
        let of_it = lines_of(&lines, &method);
        if of_it.iter().all(|line| !line.is_driven()) {
            continue;
        }
        want(&method.input(), method.full_name(), &mut wanted);
        want(&method.output(), method.full_name(), &mut wanted);
        for line in of_it.into_iter().filter(|line| line.is_driven()) {
            name(&line.says, &method.input(), &mut said);
            line.tells.iter().for_each(|tells| name(tells, &method.output(), &mut said));
        }
    }
    let missing = wanted.iter().filter(|(field, _)| !said.contains(*field));
    let missing: Vec<_> =
        missing.map(|((message, field), call)| format!("{message}.{field}, e.g. in {call}")).collect();
    assert!(missing.is_empty(), "no line of tests/it/rows/*.yaml says these fields:\n{}", missing.join("\n"));
}

/// Adds every field of a message and of those within it.
fn want(message: &MessageDescriptor, call: &str, wanted: &mut BTreeMap<Field, String>) {
    if message.full_name().starts_with("google.") {
        return;
    }
    for field in message.fields() {
        let key = (message.full_name().to_owned(), field.name().to_owned());
        if wanted.insert(key, call.to_owned()).is_none()
            && let Some(inner) = value_of(&field.kind())
        {
            want(&inner, call, wanted);
        }
    }
}

/// The message that a field has, or that the values of a map are.
fn value_of(kind: &Kind) -> Option<MessageDescriptor> {
    let message = kind.as_message()?;
    match message.is_map_entry() {
        true => message.map_entry_value_field().kind().as_message().cloned(),
        false => Some(message.clone()),
    }
}

/// Adds every field that a request says, or a pattern of an answer.
fn name(pattern: &Value, message: &MessageDescriptor, said: &mut BTreeSet<Field>) {
    let Value::Object(fields) = pattern else { return };
    for (key, value) in spelled_out(fields) {
        let Some(field) = message.get_field_by_name(&key) else { continue };
        if is_absent(&value) || is_optional(&value) {
            continue;
        }
        said.insert((message.full_name().to_owned(), key));
        let Some(inner) = value_of(&field.kind()) else { continue };
        if field.is_map() {
            value
                .as_object()
                .into_iter()
                .flat_map(|entries| entries.values())
                .for_each(|value| name(value, &inner, said));
        } else if field.is_list() {
            of_items(&value).into_iter().for_each(|item| name(item, &inner, said));
        } else {
            name(&value, &inner, said);
        }
    }
}

#[test]
fn every_row_has_a_line_and_every_line_elsewhere_a_test() {
    let lines = all();
    let shown: BTreeSet<_> = lines.iter().flat_map(|line| line.rows.iter().map(String::as_str)).collect();
    let missing: Vec<_> = ROWS.iter().filter(|row| !shown.contains(*row)).collect();
    assert!(missing.is_empty(), "no line of tests/it/rows/*.yaml shows {missing:?}");
    let tests = tests();
    for line in &lines {
        let title = line.title();
        match (&line.elsewhere, &line.why) {
            (None, None) => {
                assert!(line.tells.is_some() || line.fails.is_some() || line.rest.is_some(), "{title}")
            }
            (Some(test), Some(why)) => {
                assert!(tests.contains(test), "{title}: there is no test {test}");
                assert!(!why.is_empty(), "{title}: why?");
            }
            _ => panic!("{title}: `elsewhere` and `why` go together"),
        }
    }
}
