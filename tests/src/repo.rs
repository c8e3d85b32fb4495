//! Where the repository's parts are.

use std::path::{Path, PathBuf};

/// The repository's top folder.
#[must_use]
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().expect("tests/ stands in the repository").to_owned()
}

/// A file below `.tools`, where `tests/tools/install.sh` puts what the tests need.
///
/// # Panics
/// When it isn't there.
#[must_use]
pub fn tool(path: &str) -> PathBuf {
    let tool = root().join(".tools").join(path);
    assert!(tool.exists(), ".tools/{path} is missing: run tests/tools/install.sh, or `make test`");
    tool
}

/// The `headgate` binary of the profile this test was built with.
///
/// # Panics
/// When it isn't built.
#[must_use]
pub fn binary() -> PathBuf {
    let this = std::env::current_exe().expect("this test's own path");
    let binary =
        this.parent().and_then(Path::parent).expect("a test stands in target/PROFILE/deps").join("headgate");
    assert!(binary.exists(), "no headgate binary: run `cargo build -p headgate` first, or `make test`");
    binary
}
