//! Migrations: each has a version of its own within its service, which a server that starts would trip over.

use std::collections::BTreeMap;
use std::fs;

use headgate_tests::repo;

#[test]
fn no_two_migrations_of_a_service_have_one_version() {
    let mut seen: BTreeMap<(String, String), String> = BTreeMap::new();
    for service in fs::read_dir(repo::root().join("migrations")).expect("migrations") {
        let service = service.expect("an entry").path();
        if !service.is_dir() {
            continue;
        }
        let folder = service.file_name().expect("a name").to_string_lossy().into_owned();
        for file in fs::read_dir(&service).expect("a folder") {
            let name = file.expect("an entry").file_name().to_string_lossy().into_owned();
            let (version, _) =
                name.split_once('_').unwrap_or_else(|| panic!("{folder}/{name} has no version"));
            if let Some(other) = seen.insert((folder.clone(), version.to_owned()), name.clone()) {
                panic!("{folder}/{name} and {folder}/{other} have one version");
            }
        }
    }
    assert!(seen.len() >= 4, "only {} migrations were found", seen.len());
}
