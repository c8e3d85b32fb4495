//! What auth knows of keys: "globex-key" is of globex, "none" is none, whoever asks for "away" gets no answer, and all others are of the tenant. There is a tenant of
//! every id but "nowhere"; "away" gets no answer here, too.

use std::pin::Pin;

use futures_util::Stream;
use headgate_kit::conn::{Conn, local};
use headgate_kit::error::{ErrorReason, Failure};
use headgate_kit::identity::require_peer;
use headgate_proto::auth::v1::authentication_service_server::{
    AuthenticationService, AuthenticationServiceServer,
};
use headgate_proto::auth::v1::{
    FindApiKeyRequest, FindApiKeyResponse, FindTenantRequest, FindTenantResponse, ReportKeyUsesRequest,
    ReportKeyUsesResponse, VerifyApiKeyRequest, VerifyApiKeyResponse, WatchKeysRequest, WatchKeysResponse,
};
use tonic::{Request, Response, Status};

struct Auth;

pub(super) fn conn() -> Conn {
    local(AuthenticationServiceServer::new(Auth))
}

#[tonic::async_trait]
impl AuthenticationService for Auth {
    type WatchKeysStream = Pin<Box<dyn Stream<Item = Result<WatchKeysResponse, Status>> + Send>>;

    async fn find_api_key(
        &self,
        request: Request<FindApiKeyRequest>,
    ) -> Result<Response<FindApiKeyResponse>, Status> {
        require_peer(&request, &["budget"])?;
        let tenant_id = match request.into_inner().id.as_str() {
            "none" => return Err(Failure::no_such("API key").into()),
            "away" => return Err(Failure::new(ErrorReason::Unavailable, "the key store is away").into()),
            "globex-key" => "globex",
            _ => "tenant",
        };
        Ok(Response::new(FindApiKeyResponse { tenant_id: tenant_id.into() }))
    }

    async fn find_tenant(
        &self,
        request: Request<FindTenantRequest>,
    ) -> Result<Response<FindTenantResponse>, Status> {
        require_peer(&request, &["budget"])?;
        match request.into_inner().id.as_str() {
            "nowhere" => Err(Failure::no_such("tenant").into()),
            "away" => Err(Failure::new(ErrorReason::Unavailable, "the tenant store is away").into()),
            _ => Ok(Response::new(FindTenantResponse {})),
        }
    }

    async fn verify_api_key(
        &self,
        _: Request<VerifyApiKeyRequest>,
    ) -> Result<Response<VerifyApiKeyResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn watch_keys(
        &self,
        _: Request<WatchKeysRequest>,
    ) -> Result<Response<Self::WatchKeysStream>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn report_key_uses(
        &self,
        _: Request<ReportKeyUsesRequest>,
    ) -> Result<Response<ReportKeyUsesResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }
}
