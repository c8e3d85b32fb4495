//! `MasterKeyService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_proto::catalog::v1::master_key_service_server::MasterKeyService;
use headgate_proto::catalog::v1::{
    GetMasterKeyUsesRequest, GetMasterKeyUsesResponse, MasterKeyUse, RotateMasterKeyRequest,
    RotateMasterKeyResponse,
};
use tonic::{Request, Response, Status};

use crate::registry::Registry;
use crate::rotate::{self, Rotated};

/// Serves the rotation of the master key to super admins.
#[derive(Clone)]
pub struct MasterKeyApi {
    registry: Arc<Registry>,
    gate: Gate,
}

impl MasterKeyApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate) -> Self {
        Self { registry, gate }
    }

    fn uses(&self) -> Vec<MasterKeyUse> {
        rotate::uses(&self.registry.read(), &self.registry.master_key)
    }
}

#[tonic::async_trait]
impl MasterKeyService for MasterKeyApi {
    async fn get_master_key_uses(
        &self,
        request: Request<GetMasterKeyUsesRequest>,
    ) -> Result<Response<GetMasterKeyUsesResponse>, Status> {
        self.gate.check(&request)?;
        Ok(Response::new(GetMasterKeyUsesResponse { master_keys: self.uses() }))
    }

    async fn rotate_master_key(
        &self,
        request: Request<RotateMasterKeyRequest>,
    ) -> Result<Response<RotateMasterKeyResponse>, Status> {
        let caller = self.gate.check(&request)?;
        let Rotated { resealed, left } = rotate::rotate(&caller, &self.registry).await?;
        Ok(Response::new(RotateMasterKeyResponse { resealed, left, master_keys: self.uses() }))
    }
}
