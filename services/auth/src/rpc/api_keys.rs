//! `ApiKeyService`.

use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::{Failure, ids};
use headgate_proto::auth::v1::api_key_service_server::ApiKeyService;
use headgate_proto::auth::v1::{
    CreateApiKeyRequest, CreateApiKeyResponse, GetApiKeyRequest, GetApiKeyResponse, ListApiKeysRequest,
    ListApiKeysResponse, RevokeApiKeyRequest, RevokeApiKeyResponse,
};
use secrecy::ExposeSecret as _;
use tonic::{Request, Response, Status};

use super::no_such;
use crate::directory::{Batch, Directory};
use crate::model::Key;
use crate::registry::Registry;
use crate::{key, validate};
use headgate_kit::page::Page;

/// Serves API keys to the people of their tenants.
#[derive(Clone)]
pub struct ApiKeyApi {
    registry: Arc<Registry>,
    gate: Gate,
}

impl ApiKeyApi {
    pub(crate) fn new(registry: Arc<Registry>, gate: Gate) -> Self {
        Self { registry, gate }
    }

    /// A key as asked for, whose secret part is `secret`.
    fn draw_up(&self, request: CreateApiKeyRequest, secret: &str) -> Result<Key, Failure> {
        let now_ms = self.registry.clock.unix_millis();
        validate::label("name", &request.name)?;
        let expiry = request.expire_time.as_ref();
        Ok(Key {
            id: ids::prefixed("key", &self.registry.clock),
            tenant_id: request.tenant_id,
            name: request.name,
            prefix: key::random_prefix(),
            secret_hmac: self.registry.pepper.hash(secret),
            scopes: validate::scopes("scopes", &request.scopes)?,
            expires_ms: expiry.map(|time| validate::future("expire_time", time, now_ms)).transpose()?,
            revoked_ms: None,
            created_ms: now_ms,
        })
    }
}

#[tonic::async_trait]
impl ApiKeyService for ApiKeyApi {
    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        self.gate.check_in(&request, Some(&request.get_ref().tenant_id), "tenant")?;
        let secret = key::random_secret();
        let key = self.draw_up(request.into_inner(), &secret)?;
        let made = self.registry.change(move |directory| create(directory, key)).await?;
        let secret_key = key::join(&made.prefix, &secret).expose_secret().to_owned();
        Ok(Response::new(CreateApiKeyResponse { api_key: Some(made.to_proto()), secret_key }))
    }

    async fn get_api_key(
        &self,
        request: Request<GetApiKeyRequest>,
    ) -> Result<Response<GetApiKeyResponse>, Status> {
        let key = self.registry.read().key(&request.get_ref().id).map(Key::to_proto);
        self.gate.check_in(&request, key.as_ref().map(|key| key.tenant_id.as_str()), "API key")?;
        let key = key.ok_or_else(|| no_such("API key"))?;
        Ok(Response::new(GetApiKeyResponse { api_key: Some(key) }))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        self.gate.check_in(&request, Some(&request.get_ref().tenant_id), "tenant")?;
        let ListApiKeysRequest { tenant_id, page_size, page_token } = request.into_inner();
        validate::id("tenant_id", &tenant_id)?;
        let page = Page::parse(page_size, &page_token)?;
        let directory = self.registry.read();
        directory.tenant(&tenant_id).ok_or_else(|| no_such("tenant"))?;
        let (rows, next_page_token) = page.cut(directory.keys_after(&tenant_id, &page.after), |key| &key.id);
        let api_keys = rows.into_iter().map(Key::to_proto).collect();
        Ok(Response::new(ListApiKeysResponse { api_keys, next_page_token }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        let owner = self.registry.read().key(&request.get_ref().id).map(|key| key.tenant_id.clone());
        self.gate.check_in(&request, owner.as_deref(), "API key")?;
        let id = request.into_inner().id;
        let now_ms = self.registry.clock.unix_millis();
        let key = self.registry.change(move |directory| revoke(directory, &id, now_ms)).await?;
        Ok(Response::new(RevokeApiKeyResponse { api_key: Some(key.to_proto()) }))
    }
}

fn create(directory: &Directory, mut key: Key) -> Result<(Batch, Key), Failure> {
    directory.tenant(&key.tenant_id).ok_or_else(|| no_such("tenant"))?;
    while directory.key_with_prefix(&key.prefix).is_some() {
        key.prefix = key::random_prefix();
    }
    Ok((Batch::key(key.clone()), key))
}

fn revoke(directory: &Directory, id: &str, now_ms: i64) -> Result<(Batch, Key), Failure> {
    let old = directory.key(id).ok_or_else(|| no_such("API key"))?;
    if old.revoked_ms.is_some() {
        return Ok((Batch::default(), old.clone()));
    }
    let key = Key { revoked_ms: Some(now_ms), ..old.clone() };
    Ok((Batch::key(key.clone()), key))
}
