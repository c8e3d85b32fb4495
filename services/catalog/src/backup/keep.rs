//! Keeps the backup on disk current.

use std::path::Path;
use std::time::Duration;

use headgate_kit::secret_file::write_private;
use headgate_proto::catalog::v1::Backup;
use tokio_util::sync::CancellationToken;

use super::{BackupError, Backups, backup_json};

/// How long to wait where it could not be written.
const AGAIN: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Write(#[from] std::io::Error),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Broken(#[from] tokio::task::JoinError),
}

/// Writes it after every change, until told to stop, and then once more if need be. A catalog that was never used is
/// not written.
pub(crate) async fn keep(backups: Backups, stop: CancellationToken) {
    let mut changes = backups.registry.changes();
    let mut written = None;
    loop {
        changes.mark_unchanged();
        let backup = backups.export();
        let is_news = backup.revision > 0 && written.as_ref().is_none_or(|written| !same(written, &backup));
        let failed = match is_news {
            true => write(&backups, backup.clone()).await.err(),
            false => None,
        };
        if let Some(cause) = &failed {
            headgate_kit::warn_seldom!(%cause, "the backup of the catalog cannot be written");
        } else {
            written = Some(backup);
        }
        if stop.is_cancelled() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(AGAIN), if failed.is_some() => {}
            _ = changes.changed() => {}
        }
    }
}

/// But for when they were made.
fn same(a: &Backup, b: &Backup) -> bool {
    *a == Backup { time: a.time, ..b.clone() }
}

async fn write(backups: &Backups, backup: Backup) -> Result<(), KeepError> {
    let (folder, file) = (backups.folder.clone(), backups.file());
    tokio::task::spawn_blocking(move || {
        make_private(&folder)?;
        Ok(write_private(&file, backup_json(&backup)?)?)
    })
    .await?
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
