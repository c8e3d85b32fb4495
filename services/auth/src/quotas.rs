//! What a key may take: budget has it, and is told before there is the key, so that nobody uses the key without it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headgate_access::Author;
use headgate_kit::Failure;
use headgate_kit::conn::Conn;
use headgate_kit::error::ErrorReason;
use headgate_kit::scope::carried;
use headgate_proto::budget::v1::key_quota_service_client::KeyQuotaServiceClient;
use headgate_proto::budget::v1::{Budget, Limits, SetKeyQuotaRequest, SetKeyQuotaResponse};
use tonic::{Request, Response};

use crate::directory::Directory;
use crate::key_change;
use crate::model::Key;
use crate::registry::Registry;

/// How long budget may take: whoever makes a key waits for it.
const CALL_DEADLINE: Duration = Duration::from_secs(5);

/// What a key is made with.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Quota {
    /// Unset where it has none of its own.
    pub limits: Option<Limits>,
    /// Unset where it has none of its own.
    pub budget: Option<Budget>,
}

/// Where budget is. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas(Arc<OnceLock<KeyQuotaServiceClient<Conn>>>);

/// Whose quota it is, and who makes the key.
#[derive(Clone, Debug)]
struct Owner {
    key_id: String,
    tenant_id: String,
    by: Author,
}

impl Quotas {
    /// Budget is there from now on. The first that is named stays.
    pub(crate) fn set_at(&self, budget: Conn) {
        self.0.get_or_init(|| KeyQuotaServiceClient::new(budget));
    }

    /// Makes a key with its quota, or neither. A caller who goes away does not stop this half-way. What both are then;
    /// budget is not asked where the quota is empty.
    ///
    /// # Errors
    /// INVALID_REQUEST for a quota that cannot be, NOT_FOUND when there is no such tenant, UNAVAILABLE when budget or the
    /// database is away.
    pub(crate) async fn make(
        &self,
        registry: &Arc<Registry>,
        by: Author,
        key: Key,
        quota: Quota,
    ) -> Result<(Key, Quota), Failure> {
        if quota == Quota::default() {
            return Ok((make_key(registry, by, key).await?, quota));
        }
        registry.expect_tenant(&key.tenant_id).await?;
        let (this, registry_then) = (self.clone(), Arc::clone(registry));
        registry.carry_out(async move { this.make_now(&registry_then, by, key, quota).await }).await
    }

    async fn make_now(
        &self,
        registry: &Arc<Registry>,
        by: Author,
        key: Key,
        quota: Quota,
    ) -> Result<(Key, Quota), Failure> {
        let owner = Owner { key_id: key.id.clone(), tenant_id: key.tenant_id.clone(), by: by.clone() };
        let set = self.set(&owner, quota).await.inspect_err(|failure| {
            // Whether it was set nobody knows then.
            if failure.reason != ErrorReason::InvalidRequest {
                self.take_back(registry, owner.clone());
            }
        })?;
        let made = make_key(registry, by, key).await.inspect_err(|_| self.take_back(registry, owner))?;
        Ok((made, set))
    }

    /// What a key has then.
    async fn set(&self, owner: &Owner, quota: Quota) -> Result<Quota, Failure> {
        let Some(budget) = self.0.get() else { return Err(away("not started yet")) };
        let mut request = Request::new(SetKeyQuotaRequest {
            key_id: owner.key_id.clone(),
            tenant_id: owner.tenant_id.clone(),
            limits: quota.limits,
            budget: quota.budget,
            author: Some((&owner.by).into()),
        });
        request.set_timeout(CALL_DEADLINE);
        match budget.clone().set_key_quota(request).await.map(Response::into_inner) {
            Ok(SetKeyQuotaResponse { limits, budget }) => Ok(Quota { limits, budget }),
            Err(status) => {
                let failure = Failure::from_status(&status);
                let is_theirs = failure.reason == ErrorReason::InvalidRequest;
                Err(if is_theirs { failure } else { away(status.message()) })
            }
        }
    }

    /// Has budget forget the quota of a key that was not made, while the caller is answered. It stays where the key may
    /// be there after all: its database went away in the middle.
    fn take_back(&self, registry: &Arc<Registry>, owner: Owner) {
        let (this, known) = (self.clone(), Arc::clone(registry));
        registry.tasks.spawn(carried(async move {
            let taken = match known.owner_of_key(&owner.key_id).await {
                Err(failure) if failure.reason == ErrorReason::NotFound => {
                    this.set(&owner, Quota::default()).await.map(drop)
                }
                unclear => unclear.map(drop),
            };
            if let Err(cause) = taken {
                let key_id = owner.key_id;
                tracing::warn!(%cause, key_id, "limits and budget of a key that was not made may be left");
            }
        }));
    }
}

async fn make_key(registry: &Arc<Registry>, by: Author, key: Key) -> Result<Key, Failure> {
    registry.change(by, move |directory: &Directory| key_change::create(directory, key)).await
}

fn away(cause: &str) -> Failure {
    Failure::unavailable("budget", cause)
}
