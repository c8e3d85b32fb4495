//! `ApiKeyService`.

use std::sync::Arc;

use headgate_access::{Caller, Gate};
use headgate_kit::error::ErrorReason;
use headgate_kit::{Failure, ids};
use headgate_proto::auth::v1::api_key_service_server::ApiKeyService;
use headgate_proto::auth::v1::{
    ApiKey, CreateApiKeyRequest, CreateApiKeyResponse, GetApiKeyRequest, GetApiKeyResponse,
    ListApiKeysRequest, ListApiKeysResponse, RevokeApiKeyRequest, RevokeApiKeyResponse, RotateApiKeyRequest,
    RotateApiKeyResponse, UpdateApiKeyRequest, UpdateApiKeyResponse,
};
use prost::Name;
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use super::no_such;
use crate::directory::Directory;
use crate::key_change::{self, KeyChange};
use crate::model::Key;
use crate::quotas::{Quota, Quotas};
use crate::registry::Registry;
use crate::uses::Uses;
use crate::{key, validate};
use headgate_kit::page::Page;

/// Serves API keys to the people of their tenants.
#[derive(Clone)]
pub struct ApiKeyApi {
    pub(super) registry: Arc<Registry>,
    pub(super) gate: Gate,
    pub(super) uses: Arc<Uses>,
    quotas: Quotas,
}

impl ApiKeyApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate, uses: Arc<Uses>, quotas: Quotas) -> Self {
        Self { registry, gate, uses, quotas }
    }

    /// Lets in who may do this with a key.
    fn guard<T: Name>(&self, request: &Request<T>, id: &str) -> Result<Caller, Status> {
        let owner = self.registry.read().key(id).map(|key| key.tenant_id.clone());
        self.gate.check_in(request, owner.as_deref(), "API key")
    }

    /// A key as callers see it.
    pub(super) fn show(&self, key: &Key) -> ApiKey {
        key.to_proto(self.uses.known(&key.id), self.registry.clock.unix_millis())
    }

    /// A key as asked for, whose secret part is `secret`.
    pub(super) fn draw_up(&self, request: CreateApiKeyRequest, secret: &str) -> Result<Key, Failure> {
        let now_ms = self.registry.clock.unix_millis();
        validate::label("name", &request.name)?;
        let expiry = request.expire_time.as_ref();
        Ok(Key {
            id: ids::prefixed("key", &self.registry.clock),
            tenant_id: request.tenant_id,
            name: request.name,
            prefix: key::random_prefix(),
            secret_hmac: self.registry.pepper.hash(secret),
            previous: None,
            scopes: validate::scopes("scopes", &request.scopes)?,
            models: validate::models("models", &request.models)?,
            ip_allowlist: validate::networks("ip_allowlist", &request.ip_allowlist)?,
            metadata: key_change::metadata("metadata", request.metadata)?,
            disabled: request.disabled,
            user_id: validate::user_id("user_id", request.user_id)?,
            personal: false,
            owner_barred: false,
            expires_ms: expiry.map(|time| validate::future("expire_time", time, now_ms)).transpose()?,
            revoked_ms: None,
            created_ms: now_ms,
            revision: 0,
        })
    }

    /// Gives a key another secret, which is told.
    pub(super) async fn rotate(
        &self,
        caller: &Caller,
        id: String,
        etag: String,
        overlap_seconds: u32,
    ) -> Result<(ApiKey, String), Failure> {
        let overlap_ms = key_change::overlap_ms(overlap_seconds)?;
        let secret = key::random_secret();
        let (hmac, now_ms) = (self.registry.pepper.hash(&secret), self.registry.clock.unix_millis());
        let plan =
            move |directory: &Directory| key_change::rotate(directory, &id, &etag, hmac, overlap_ms, now_ms);
        let key = self.registry.change(caller, plan).await?;
        let secret_key = key::join(&key.prefix, &secret).expose_secret().to_owned();
        Ok((self.show(&key), secret_key))
    }
}

#[tonic::async_trait]
impl ApiKeyService for ApiKeyApi {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        let caller = self.gate.check_in(&request, Some(&request.get_ref().tenant_id), "tenant")?;
        let mut request = request.into_inner();
        let quota = Quota { limits: request.limits.take(), budget: request.budget.take() };
        let secret = key::random_secret();
        let key = self.draw_up(request, &secret)?;
        let (made, quota) = self.quotas.make(&self.registry, (&caller).into(), key, quota).await?;
        Ok(Response::new(CreateApiKeyResponse {
            api_key: Some(self.show(&made)),
            secret_key: key::join(&made.prefix, &secret).expose_secret().to_owned(),
            limits: quota.limits,
            budget: quota.budget,
        }))
    }

    async fn get_api_key(
        &self,
        request: Request<GetApiKeyRequest>,
    ) -> Result<Response<GetApiKeyResponse>, Status> {
        self.guard(&request, &request.get_ref().id)?;
        let id = request.into_inner().id;
        self.registry.read().key(&id).ok_or_else(|| no_such("API key"))?;
        self.uses.look_for_key(&id).await;
        let key = self.registry.read().key(&id).map(|key| self.show(key));
        Ok(Response::new(GetApiKeyResponse { api_key: key }))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        self.gate.check_in(&request, Some(&request.get_ref().tenant_id), "tenant")?;
        let ListApiKeysRequest { tenant_id, page_size, page_token } = request.into_inner();
        validate::id("tenant_id", &tenant_id)?;
        let page = Page::parse(page_size, &page_token)?;
        self.registry.read().tenant(&tenant_id).ok_or_else(|| no_such("tenant"))?;
        self.uses.look_for_tenant(&tenant_id).await;
        let directory = self.registry.read();
        let (rows, next_page_token) = page.cut(directory.keys_after(&tenant_id, &page.after), |key| &key.id);
        let api_keys = rows.into_iter().map(|key| self.show(key)).collect();
        Ok(Response::new(ListApiKeysResponse { api_keys, next_page_token }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        let RevokeApiKeyRequest { id, tenant_id, .. } = request.get_ref();
        // A key of another tenant than the one that is named is no key.
        let of_another = |key: &Key| !tenant_id.is_empty() && key.tenant_id != *tenant_id;
        let is_other = self.registry.read().key(id).is_some_and(of_another);
        let caller = self.guard(&request, if is_other { "" } else { id })?;
        let RevokeApiKeyRequest { id, etag, .. } = request.into_inner();
        let now_ms = self.registry.clock.unix_millis();
        let plan = move |directory: &Directory| key_change::revoke(directory, &id, &etag, now_ms);
        let key = self.registry.change(&caller, plan).await?;
        Ok(Response::new(RevokeApiKeyResponse { api_key: Some(self.show(&key)) }))
    }

    async fn update_api_key(
        &self,
        request: Request<UpdateApiKeyRequest>,
    ) -> Result<Response<UpdateApiKeyResponse>, Status> {
        let caller = self.guard(&request, &request.get_ref().id)?;
        let mut request = request.into_inner();
        let change = KeyChange::take(&mut request, self.registry.clock.unix_millis())?;
        let UpdateApiKeyRequest { id, etag, .. } = request;
        let plan = move |directory: &Directory| key_change::update(directory, &id, &etag, change);
        let key = self.registry.change(&caller, plan).await?;
        Ok(Response::new(UpdateApiKeyResponse { api_key: Some(self.show(&key)) }))
    }

    async fn rotate_api_key(
        &self,
        request: Request<RotateApiKeyRequest>,
    ) -> Result<Response<RotateApiKeyResponse>, Status> {
        let caller = self.guard(&request, &request.get_ref().id)?;
        let RotateApiKeyRequest { id, etag, overlap_seconds } = request.into_inner();
        if self.registry.read().key(&id).is_some_and(|key| key.personal) {
            let message = "a personal API key is rotated by its owner alone";
            return Err(Failure::new(ErrorReason::PermissionDenied, message).into());
        }
        let (key, secret_key) = self.rotate(&caller, id, etag, overlap_seconds).await?;
        Ok(Response::new(RotateApiKeyResponse { api_key: Some(key), secret_key }))
    }
}
