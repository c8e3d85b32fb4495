//! What is asked of the person at the terminal, or read from what is put in its place. Passwords are never arguments, as
//! everybody on a machine sees those.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use secrecy::SecretString;

use super::TaskError;

/// A line that may be seen.
pub(super) fn line(prompt: &str) -> Result<String, TaskError> {
    let unreadable = |cause: std::io::Error| TaskError::Value(format!("{prompt}: {cause}"));
    if std::io::stdin().is_terminal() {
        let mut terminal = std::io::stderr();
        write!(terminal, "{prompt}: ").and_then(|()| terminal.flush()).map_err(unreadable)?;
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(unreadable)?;
    let line = line.trim();
    if line.is_empty() {
        return Err(TaskError::Value(format!("{prompt}: nothing was given")));
    }
    Ok(line.to_owned())
}

/// A password: the first line of a file (`-` for standard input), or asked for without showing it.
pub(super) fn password(prompt: &str, file: Option<&Path>) -> Result<SecretString, TaskError> {
    let given = match file {
        Some(path) if path != Path::new("-") => first_line(path)?,
        None if std::io::stdin().is_terminal() => rpassword::prompt_password(format!("{prompt}: "))
            .map_err(|cause| TaskError::Value(format!("{prompt}: {cause}")))?,
        _ => {
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            read.map_err(|cause| TaskError::Value(format!("{prompt}: {cause}")))?;
            line
        }
    };
    let password = given.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(TaskError::Value(format!("{prompt}: nothing was given")));
    }
    Ok(password.into())
}

fn first_line(path: &Path) -> Result<String, TaskError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|cause| TaskError::Value(format!("{}: {cause}", path.display())))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
