//! The catalog as a document: made, read, restored, and kept current on disk.

mod json;
mod keep;
mod plan;

use std::path::PathBuf;
use std::sync::Arc;

use headgate_access::Author;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::catalog::v1::{Backup, RestoreBackupResponse};
use headgate_proto::timestamp;

pub use self::json::{BackupError, parse as parse_backup, write as backup_json};
pub(crate) use self::keep::keep;
use crate::change::Stamp;
use crate::registry::Registry;
use crate::state::State;

/// The form that backups have.
const VERSION: u32 = 1;
/// The highest revision that a backup may be of. A catalog goes on behind it, and needs some that are left.
const MAX_REVISION: u64 = 1 << 53;
const FILE: &str = "catalog.json";

/// Makes backups of a catalog and restores them. Clones share it.
#[derive(Clone)]
pub(crate) struct Backups {
    pub registry: Arc<Registry>,
    /// Where the current one is kept.
    pub folder: PathBuf,
}

impl Backups {
    /// The catalog as it is now.
    pub(crate) fn export(&self) -> Backup {
        let all = self.registry.read().snapshot();
        Backup {
            version: VERSION,
            revision: all.revision,
            time: Some(timestamp(self.registry.clock.unix_millis())),
            providers: all.providers,
            models: all.models,
            tenant_models: all.tenant_models,
            default_model: all.default_model,
        }
    }

    /// Brings the catalog to what a backup says.
    pub(crate) async fn restore(
        &self,
        by: impl Into<Author>,
        backup: Backup,
    ) -> Result<RestoreBackupResponse, Failure> {
        self.restore_if(by, backup, |_| true).await
    }

    /// Begins with the backup on disk where the catalog's database was never used. What cannot be restored is told and
    /// put aside, so that the next backup does not take its place.
    pub(crate) async fn restore_into_nothing(&self) {
        if self.registry.read().revision() != 0 {
            return;
        }
        let restored = match self.stored().await {
            Ok(None) => return,
            Ok(Some(backup)) => {
                self.restore_if(Author::own("restore"), backup, |state| state.revision() == 0).await
            }
            Err(failure) => Err(failure),
        };
        match restored {
            Ok(restored) => tracing::info!(
                providers = restored.providers,
                models = restored.models,
                "restored from the backup on disk, as the database was never used"
            ),
            Err(failure) => {
                tracing::error!(%failure, "the backup on disk cannot be restored, it is put aside");
                self.put_aside().await;
            }
        }
    }

    /// What is on disk, if there is something.
    pub(crate) async fn stored(&self) -> Result<Option<Backup>, Failure> {
        match tokio::fs::read(self.file()).await {
            Ok(bytes) => {
                let unreadable =
                    |cause: BackupError| Failure::invalid("backup", format!("the backup on disk: {cause}"));
                parse_backup(&bytes).map(Some).map_err(unreadable)
            }
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(Failure::internal(cause)),
        }
    }

    async fn restore_if(
        &self,
        by: impl Into<Author>,
        backup: Backup,
        wanted: impl Fn(&State) -> bool + Send + 'static,
    ) -> Result<RestoreBackupResponse, Failure> {
        if backup.version != VERSION {
            let message = format!("backup.version must be {VERSION}");
            return Err(Failure::invalid("backup.version", message));
        }
        if backup.revision > MAX_REVISION {
            let message = format!("backup.revision must be at most {MAX_REVISION}");
            return Err(Failure::invalid("backup.revision", message));
        }
        let restored = RestoreBackupResponse {
            providers: count(backup.providers.len()),
            models: count(backup.models.len()),
            tenant_models: count(backup.tenant_models.len()),
        };
        let (master_key, clock) = (self.registry.master_key.clone(), self.registry.clock.clone());
        let beyond = backup.revision;
        let plan = move |state: &State, stamp: &Stamp| match wanted(state) {
            true => plan::plan(state, backup, &master_key, &clock, stamp).map(|change| (change, ())),
            false => Err(Failure::new(ErrorReason::Conflict, "another replica has begun already")),
        };
        self.registry.change_beyond(by, beyond, plan).await?;
        Ok(restored)
    }

    fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    async fn put_aside(&self) {
        let aside = self.folder.join(format!("{FILE}.unusable"));
        if let Err(cause) = tokio::fs::rename(self.file(), aside).await {
            tracing::error!(%cause, "the backup cannot be put aside");
        }
    }
}

fn count(rows: usize) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}
