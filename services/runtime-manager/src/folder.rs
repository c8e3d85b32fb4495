//! Finding model files: a bounded walk that never leaves the model folder.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

/// Folders below the model folder that are looked into.
const MAX_DEPTH: u32 = 8;
/// Entries of all folders together.
const MAX_ENTRIES: usize = 100_000;

/// Where the models are.
#[derive(Clone, Debug)]
pub(crate) enum ModelFolder {
    /// Said by the operator, so it must be there.
    Configured(PathBuf),
    /// Used if it is there.
    Default(PathBuf),
}

/// A file that is named like a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelFile {
    /// Its path below the model folder, with `/`; what is not UTF-8 is replaced.
    pub(crate) name: String,
    /// Where to open it.
    pub(crate) path: PathBuf,
    /// Its size, or why it must not be opened.
    pub(crate) bytes: Result<u64, String>,
}

/// Why the folder cannot be listed, for people.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("no model folder is configured")]
    None,
    #[error("the model folder cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    #[error("the model folder holds more than {MAX_ENTRIES} entries")]
    TooMany,
}

impl ModelFolder {
    /// Every file in the folder that is named like a model, in no order.
    pub(crate) fn files(&self) -> Result<Vec<ModelFile>, FolderError> {
        let dir = match self {
            Self::Configured(dir) => dir,
            Self::Default(dir) if dir.is_dir() => dir,
            Self::Default(_) => return Err(FolderError::None),
        };
        let root = dir.canonicalize().map_err(|cause| FolderError::Unreadable(cause.kind()))?;
        let mut walk = Walk { root: &root, entries: 0, files: Vec::new() };
        walk.run()?;
        Ok(walk.files)
    }
}

struct Walk<'a> {
    root: &'a Path,
    entries: usize,
    files: Vec<ModelFile>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), FolderError> {
        let mut folders = vec![(self.root.to_owned(), 0)];
        while let Some((folder, depth)) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(cause) if depth == 0 => return Err(FolderError::Unreadable(cause.kind())),
                Err(cause) => {
                    tracing::warn!(%cause, folder = %folder.display(), "folder skipped");
                    continue;
                }
            };
            for entry in entries {
                self.entries += 1;
                if self.entries > MAX_ENTRIES {
                    return Err(FolderError::TooMany);
                }
                match entry.and_then(|entry| self.look(&entry)) {
                    Ok(None) => {}
                    Ok(Some(below)) if depth < MAX_DEPTH => folders.push((below, depth + 1)),
                    Ok(Some(below)) => tracing::warn!(folder = %below.display(), "folder too deep, skipped"),
                    Err(cause) => tracing::warn!(%cause, folder = %folder.display(), "entry skipped"),
                }
            }
        }
        Ok(())
    }

    /// Keeps a model file; answers a folder to look into. Links to folders are not followed, so there are no circles.
    fn look(&mut self, entry: &DirEntry) -> io::Result<Option<PathBuf>> {
        let kind = entry.file_type()?;
        let path = entry.path();
        if kind.is_dir() {
            return Ok(Some(path));
        }
        let is_model = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
        if is_model && (kind.is_file() || kind.is_symlink()) {
            let bytes = if kind.is_file() { Ok(entry.metadata()?.len()) } else { self.linked_bytes(&path) };
            self.files.push(ModelFile { name: self.name(&path), path, bytes });
        }
        Ok(None)
    }

    fn name(&self, path: &Path) -> String {
        let below = path.strip_prefix(self.root).unwrap_or(path);
        let parts: Vec<_> = below.components().map(|c| c.as_os_str().to_string_lossy()).collect();
        parts.join("/")
    }

    fn linked_bytes(&self, link: &Path) -> Result<u64, String> {
        let target = link.canonicalize().map_err(|_| "the link leads nowhere")?;
        if !target.starts_with(self.root) {
            return Err("the link leads out of the model folder".to_owned());
        }
        match target.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
            _ => Err("the link does not lead to a file".to_owned()),
        }
    }
}
