//! The contract is lint-clean.

use std::process::Command;

use headgate_tests::repo;

#[test]
fn buf_finds_nothing_to_complain_about() {
    let output =
        Command::new(repo::tool("venv/bin/buf")).arg("lint").current_dir(repo::root().join("proto")).output();
    let output = output.expect("buf runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
