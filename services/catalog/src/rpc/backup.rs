//! `BackupService`.

use headgate_access::Gate;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_proto::catalog::v1::backup_service_server::BackupService;
use headgate_proto::catalog::v1::{
    ExportBackupRequest, ExportBackupResponse, RestoreBackupRequest, RestoreBackupResponse,
};
use tonic::{Request, Response, Status};

use crate::backup::Backups;

/// Serves backups to super admins.
#[derive(Clone)]
pub struct BackupApi {
    backups: Backups,
    gate: Gate,
}

impl BackupApi {
    pub(crate) fn new(backups: Backups, gate: Gate) -> Self {
        Self { backups, gate }
    }
}

#[tonic::async_trait]
impl BackupService for BackupApi {
    async fn export_backup(
        &self,
        request: Request<ExportBackupRequest>,
    ) -> Result<Response<ExportBackupResponse>, Status> {
        self.gate.check(&request)?;
        Ok(Response::new(ExportBackupResponse { backup: Some(self.backups.export()) }))
    }

    async fn restore_backup(
        &self,
        request: Request<RestoreBackupRequest>,
    ) -> Result<Response<RestoreBackupResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let backup = match request.into_inner().backup {
            Some(backup) => backup,
            None => self.backups.stored().await?.ok_or_else(|| {
                Failure::new(ErrorReason::NotFound, "there is no backup on disk, and none was given")
            })?,
        };
        Ok(Response::new(self.backups.restore(&caller, backup).await?))
    }
}
