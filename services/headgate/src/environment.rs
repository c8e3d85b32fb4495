//! The file `.env`: variables for those who would rather not set them one by one.

use std::io;
use std::path::Path;

use headgate_kit::config::{ENV_PREFIX, Problem};

const FILE: &str = ".env";

/// What `.env` in the working directory says of Headgate. Other programs' lines are passed over, and so is a folder of
/// that name.
///
/// # Errors
/// What is wrong with the file, in words that show nothing of what stands in it.
pub(crate) fn read_file() -> Result<Vec<(String, String)>, Problem> {
    if !Path::new(FILE).is_file() {
        return Ok(Vec::new());
    }
    let unreadable = |cause: &io::Error| Problem::new(FILE, format!("cannot be read: {cause}"));
    let lines = match dotenvy::from_path_iter(FILE) {
        Err(dotenvy::Error::Io(cause)) => return Err(unreadable(&cause)),
        Err(_) => return Err(malformed()),
        Ok(lines) => lines,
    };
    let mut variables = Vec::new();
    for line in lines {
        match line {
            Ok((name, value)) if name.starts_with(ENV_PREFIX) => variables.push((name, value)),
            Err(dotenvy::Error::Io(cause)) => return Err(unreadable(&cause)),
            // The cause quotes the line, which may hold a secret.
            Err(dotenvy::Error::LineParse(line, _)) if line.contains(ENV_PREFIX) => return Err(malformed()),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(variables)
}

fn malformed() -> Problem {
    Problem::new(FILE, "a line of ours is not NAME=value")
}
