use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize, Serialize, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Root {
    edge: Section,
    list: Vec<Section>,
    bootstrap: Seed,
    operator_token: String,
}

#[derive(Debug, Deserialize, Serialize, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Section {
    listen: String,
    size: u32,
}

#[derive(Debug, Deserialize, Serialize, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Seed {
    api_keys: Vec<Key>,
    providers: Vec<Key>,
}

#[derive(Debug, Deserialize, Serialize, Default, PartialEq)]
#[serde(deny_unknown_fields)]
struct Key {
    key: String,
    kind: Option<Kind>,
}

#[derive(Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Echo,
}

fn read(yaml: &str) -> Result<Root, Vec<Problem>> {
    parse(yaml, &[], Env::prefixed("HEADGATE_TEST_NOTHING__"), |root: &Root, _| {
        let odd = root.list.iter().enumerate().filter(|(_, section)| section.size % 2 == 1);
        odd.map(|(i, _)| Problem::new(format!("list[{i}].size"), "must be even")).collect()
    })
}

fn paths(yaml: &str) -> Vec<String> {
    read(yaml).unwrap_err().into_iter().map(|p| p.path).collect()
}

#[test]
fn values_are_read_over_defaults() {
    let root = read("edge:\n  size: 7\n").unwrap();
    assert_eq!(root.edge, Section { listen: String::new(), size: 7 });
    assert_eq!(read("").unwrap(), Root::default());
}

#[test]
fn every_fault_is_reported_with_its_path() {
    let yaml = "edge:\n  size: big\n  lisen: x\nbogus: 1\nlist:\n  - size: -1\n  - size: 3\n";
    assert_eq!(paths(yaml), ["bogus", "edge.lisen", "edge.size", "list[0].size", "list[1].size"]);
}

#[test]
fn items_of_a_list_keep_their_index_when_others_are_taken_out() {
    assert_eq!(paths("list: [bad, {size: 2}, worse, {size: 3}]"), ["list[0]", "list[2]", "list[3].size"]);
}

#[test]
fn a_field_of_the_wrong_type_is_not_reported_as_missing_too() {
    assert_eq!(
        paths("bootstrap: {api_keys: [{key: []}, {}]}"),
        ["bootstrap.api_keys[0].key", "bootstrap.api_keys[1]"]
    );
}

#[test]
fn no_fault_shows_a_secret() {
    for yaml in [
        "bootstrap: {api_keys: [sk-a.planted]}",
        "bootstrap: {api_keys: sk-a.planted}",
        "bootstrap: {providers: [sk-a.planted]}",
        "bootstrap: {providers: {planted: 1}}",
        "bootstrap: {providers: [{key: k, kind: sk-a.planted}]}",
        "bootstrap: {api_keys: [{sk-a.planted: null}]}",
        "bootstrap: {api_keys: [{sk-planted`, `x: null}]}",
        "bootstrap: sk-a.planted",
        "bootstrap: [sk-a.planted]",
        "operator_token: [sk-a.planted]",
        "operator_token: {sk-a.planted: 1}",
        "sk-a.planted: x",
        "sk-a.planted",
        // No YAML.
        "bootstrap:\n  api_keys:\n    - key: sk-a.planted\n     id: x\n",
        "operator_token: \"sk-a.planted\nedge: {}\n",
        "operator_token: sk-a.planted: x\n",
        "operator_token: *sk-a.planted\n",
        "operator_token: !planted [\n",
        "sk-a.planted: 1\nsk-a.planted: 2\n",
        "operator_token: sk-a.planted\nedge: [unclosed\n",
    ] {
        let faults = read(yaml).unwrap_err();
        assert!(!faults.is_empty(), "{yaml}");
        let shown: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
        assert!(!shown.contains("planted"), "{yaml}:\n{shown}");
    }
}

#[test]
fn what_is_no_yaml_is_told_by_its_place() {
    let faults = read("edge:\n  size: 1\n  size: 2\n").unwrap_err();
    assert_eq!(faults[0].to_string(), "not valid YAML: a key stands twice, line 3, column 3");
    let faults = read("edge: [unclosed").unwrap_err();
    assert!(faults[0].message.starts_with("not valid YAML, line "), "{faults:?}");
}
