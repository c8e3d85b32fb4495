//! `headgate backup`: takes the catalog of a running deployment along, and brings it back.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use headgate_catalog::{backup_json, parse_backup};
use headgate_kit::secret_file::write_private;
use headgate_proto::catalog::v1::backup_service_client::BackupServiceClient;
use headgate_proto::catalog::v1::{ExportBackupRequest, RestoreBackupRequest};

use crate::admin::{TaskError, block_on, link};
use crate::cli::{complain, say};

const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Whom to speak to, and what to do.
#[derive(Args)]
pub(crate) struct Backup {
    #[command(flatten)]
    link: link::Options,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write all providers (their credentials sealed with the master key), models and allowlists into a file.
    Export {
        /// The file, made with mode 0600. Default, and -: standard output.
        file: Option<PathBuf>,
    },
    /// Bring providers, models and allowlists to what a file says. What it does not hold stays.
    Restore {
        /// The file.
        file: PathBuf,
    },
}

/// Does it, and tells what it did.
pub(crate) fn run(backup: &Backup) -> ExitCode {
    match block_on(perform(backup)) {
        Ok(done) => {
            say(done);
            ExitCode::SUCCESS
        }
        Err(cause) => {
            complain(cause);
            ExitCode::FAILURE
        }
    }
}

async fn perform(backup: &Backup) -> Result<String, TaskError> {
    let client = async || {
        let client = BackupServiceClient::new(link::open(&backup.link).await?);
        Ok::<_, TaskError>(client.max_decoding_message_size(MAX_BYTES).max_encoding_message_size(MAX_BYTES))
    };
    match &backup.task {
        Task::Export { file } => {
            let answer = client().await?.export_backup(ExportBackupRequest {}).await?.into_inner();
            let exported = answer.backup.ok_or(TaskError::Incomplete)?;
            let text = backup_json(&exported).map_err(|cause| TaskError::Value(cause.to_string()))?;
            let Some(file) = file.as_deref().filter(|file| *file != Path::new("-")) else { return Ok(text) };
            write_private(file, text).map_err(|cause| at(file, &cause))?;
            Ok(format!(
                "exported {} providers, {} models, {} allowlists",
                exported.providers.len(),
                exported.models.len(),
                exported.tenant_models.len()
            ))
        }
        Task::Restore { file } => {
            // What is wrong with the file is known before anybody is asked.
            let text = std::fs::read(file).map_err(|cause| at(file, &cause))?;
            let given = Some(parse_backup(&text).map_err(|cause| at(file, &cause))?);
            let restore = RestoreBackupRequest { backup: given };
            let restored = client().await?.restore_backup(restore).await?.into_inner();
            Ok(format!(
                "restored {} providers, {} models, {} allowlists",
                restored.providers, restored.models, restored.tenant_models
            ))
        }
    }
}

fn at(file: &Path, cause: &dyn std::error::Error) -> TaskError {
    TaskError::Value(format!("{}: {cause}", file.display()))
}
