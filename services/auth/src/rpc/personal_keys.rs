//! `PersonalKeyService`.

use headgate_access::Caller;
use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;
use headgate_kit::page::Page;
use headgate_proto::auth::v1::personal_key_service_server::PersonalKeyService;
use headgate_proto::auth::v1::{
    CreateApiKeyRequest, CreatePersonalKeyRequest, CreatePersonalKeyResponse, ListPersonalKeysRequest,
    ListPersonalKeysResponse, RevokePersonalKeyRequest, RevokePersonalKeyResponse, RotatePersonalKeyRequest,
    RotatePersonalKeyResponse,
};
use prost::Name;
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use super::api_keys::ApiKeyApi;
use super::no_such;
use crate::directory::Directory;
use crate::model::Key;
use crate::people::People;
use crate::{key, key_change, validate};

/// Serves people their own API keys.
#[derive(Clone)]
pub struct PersonalKeyApi {
    keys: ApiKeyApi,
    people: People,
}

impl PersonalKeyApi {
    pub(crate) fn new(keys: ApiKeyApi, people: People) -> Self {
        Self { keys, people }
    }

    /// Lets in whose own key this is.
    fn guard<T: Name>(&self, request: &Request<T>, id: &str) -> Result<Caller, Status> {
        let known = self.keys.registry.read().key(id).cloned();
        let tenant_id = known.as_ref().map(|key| key.tenant_id.as_str());
        let caller = self.keys.gate.check_in(request, tenant_id, "API key")?;
        let is_own = |key: Key| key.personal && caller.user_id() == Some(&key.user_id);
        if known.is_some_and(is_own) { Ok(caller) } else { Err(no_such("API key").into()) }
    }
}

#[tonic::async_trait]
impl PersonalKeyService for PersonalKeyApi {
    async fn create_personal_key(
        &self,
        request: Request<CreatePersonalKeyRequest>,
    ) -> Result<Response<CreatePersonalKeyResponse>, Status> {
        let tenant_id = &request.get_ref().tenant_id;
        let exists = self.keys.registry.read().tenant(tenant_id).is_some();
        let caller = self.keys.gate.check_in(&request, exists.then_some(tenant_id), "tenant")?;
        let request = request.into_inner();
        validate::name("name", &request.name)?;
        let secret = key::random_secret();
        let drawn = self.keys.draw_up(of(&caller, request)?, &secret)?;
        let made = self.people.create_personal_key(&caller, Key { personal: true, ..drawn }).await?;
        let secret_key = key::join(&made.prefix, &secret).expose_secret().to_owned();
        let api_key = Some(self.keys.show(&made));
        Ok(Response::new(CreatePersonalKeyResponse { api_key, secret_key }))
    }

    async fn list_personal_keys(
        &self,
        request: Request<ListPersonalKeysRequest>,
    ) -> Result<Response<ListPersonalKeysResponse>, Status> {
        let caller = self.keys.gate.check_across(&request)?;
        let ListPersonalKeysRequest { tenant_id, page_size, page_token } = request.into_inner();
        let page = Page::parse(page_size, &page_token)?;
        let (rows, next_page_token) = {
            let directory = self.keys.registry.read();
            let own = directory.personal_keys_after(caller.user_id().unwrap_or_default(), &page.after);
            let is_asked_for = |key: &&Key| {
                caller.sees(&key.tenant_id) && (tenant_id.is_empty() || key.tenant_id == tenant_id)
            };
            page.cut(own.filter(is_asked_for).cloned(), |key| &key.id)
        };
        self.keys.uses.look_for_user(caller.user_id().unwrap_or_default()).await;
        let api_keys = rows.iter().map(|key| self.keys.show(key)).collect();
        Ok(Response::new(ListPersonalKeysResponse { api_keys, next_page_token }))
    }

    async fn revoke_personal_key(
        &self,
        request: Request<RevokePersonalKeyRequest>,
    ) -> Result<Response<RevokePersonalKeyResponse>, Status> {
        let caller = self.guard(&request, &request.get_ref().id)?;
        let RevokePersonalKeyRequest { id, etag } = request.into_inner();
        let now_ms = self.keys.registry.clock.unix_millis();
        let plan = move |directory: &Directory| key_change::revoke(directory, &id, &etag, now_ms);
        let key = self.keys.registry.change(&caller, plan).await?;
        Ok(Response::new(RevokePersonalKeyResponse { api_key: Some(self.keys.show(&key)) }))
    }

    async fn rotate_personal_key(
        &self,
        request: Request<RotatePersonalKeyRequest>,
    ) -> Result<Response<RotatePersonalKeyResponse>, Status> {
        let caller = self.guard(&request, &request.get_ref().id)?;
        let RotatePersonalKeyRequest { id, etag, overlap_seconds } = request.into_inner();
        let (key, secret_key) = self.keys.rotate(&caller, id, etag, overlap_seconds).await?;
        Ok(Response::new(RotatePersonalKeyResponse { api_key: Some(key), secret_key }))
    }
}

/// What is asked for, as the caller's.
fn of(caller: &Caller, request: CreatePersonalKeyRequest) -> Result<CreateApiKeyRequest, Failure> {
    let nobody = || {
        let message = "the operator token stands for nobody, log in instead";
        Failure::new(ErrorReason::PermissionDenied, message)
    };
    let CreatePersonalKeyRequest { tenant_id, name, scopes, expire_time, models, ip_allowlist } = request;
    Ok(CreateApiKeyRequest {
        tenant_id,
        name,
        scopes,
        expire_time,
        models,
        ip_allowlist,
        user_id: caller.user_id().ok_or_else(nobody)?.to_owned(),
        ..CreateApiKeyRequest::default()
    })
}
