//! What a shell tells the command line.

use std::path::PathBuf;

/// A variable that is set to something.
#[expect(
    clippy::disallowed_methods,
    reason = "who runs a command configures it by environment, no process that serves"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Where programs keep what is this user's (XDG Base Directory Specification). `None` where nobody says.
pub(super) fn config_folder() -> Option<PathBuf> {
    let absolute = |path: String| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let given = variable("XDG_CONFIG_HOME").and_then(absolute);
    Some(given.or_else(|| Some(variable("HOME").and_then(absolute)?.join(".config")))?.join("headgate"))
}
