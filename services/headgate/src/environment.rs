//! The file `.env`: variables for those who would rather not set them one by one.

use std::io;
use std::path::Path;

use headgate_kit::config::Problem;

const FILE: &str = ".env";

/// Sets what `.env` in the working directory says, where the environment itself says nothing. No file is no fault.
///
/// # Errors
/// What is wrong with the file, in words that show nothing of what stands in it.
pub(crate) fn read_file() -> Result<(), Problem> {
    match dotenvy::from_path(Path::new(FILE)) {
        Ok(()) => Ok(()),
        Err(dotenvy::Error::Io(cause)) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(dotenvy::Error::Io(cause)) => Err(Problem::new(FILE, format!("cannot be read: {cause}"))),
        // The cause quotes the line, which may hold a secret.
        Err(_) => Err(Problem::new(FILE, "not every line is KEY=value")),
    }
}
