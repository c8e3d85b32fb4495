//! People: who they are, where they belong, and how they log in.

mod account;
mod email;
mod membership;
mod model;
mod oidc;
mod password;
mod personal_key;
mod seed;
mod session;
mod store;
mod throttle;
mod token;
mod upkeep;
mod user;
mod vouch;
mod written;

use std::sync::Arc;

use headgate_access::Author;
use headgate_audit::Entry;
use headgate_kit::Failure;
use headgate_kit::db::Tx;
use headgate_kit::error::ErrorReason;
use headgate_kit::trust::TlsError;

pub(crate) use account::Owner;
pub(crate) use email::login;
pub(crate) use membership::NewMember;
pub(crate) use model::User;
pub(crate) use oidc::{Answer, PATIENCE_MS as LOGIN_PATIENCE_MS, Providers};
pub(crate) use password::{check as check_password, check_hash};
pub(crate) use seed::{Credential, Seed};
pub(crate) use session::Issued;
pub(crate) use user::{NewUser, UserChange};

use self::password::Hasher;
use self::throttle::Throttle;
use crate::audit;
use crate::config::Config;
use crate::draft::Draft;
use crate::registry::Registry;
use crate::voided::Voided;

/// Everything about people. Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct People {
    pub registry: Arc<Registry>,
    pub config: Arc<Config>,
    pub providers: Providers,
    hasher: Hasher,
    throttle: Throttle,
}

impl People {
    pub(crate) fn new(registry: Arc<Registry>, config: Config) -> Result<Self, TlsError> {
        let throttle = Throttle::new(registry.clock.clone());
        let providers = Providers::new(&config.oidc, &registry.clock)?;
        Ok(Self { registry, config: Arc::new(config), providers, hasher: Hasher::new(), throttle })
    }

    /// To look things up in one state of the database.
    async fn reading(&self) -> Result<Tx, Failure> {
        self.registry.db().begin_read().await.map_err(store::away)
    }

    /// Has the audit log tell that somebody tried what is not good, at this account if there is one.
    async fn tried_in_vain(&self, by: &Author, user_id: Option<&str>) -> Result<(), Failure> {
        self.tried(by, user_id, ErrorReason::InvalidCredential).await
    }

    /// The same of whatever kept them out.
    async fn tried(&self, by: &Author, user_id: Option<&str>, reason: ErrorReason) -> Result<(), Failure> {
        let (thing, now_ms) =
            (written::thing(user_id.unwrap_or_default()), self.registry.clock.unix_millis());
        let entry = Entry::of_failure(by, now_ms, thing, reason);
        let mut tx = self.registry.db().begin().await.map_err(store::away)?;
        audit::write(&mut tx, [entry.event()]).await.map_err(store::away)?;
        tx.commit().await.map_err(store::away)
    }
}

/// Whoever has no good credential learns only that, whatever is wrong with it.
fn not_known() -> Failure {
    Failure::new(
        ErrorReason::InvalidCredential,
        "the account or its password is not right, or may not log in",
    )
}

/// Writes a changed user, of whom what was issued before is void, and whose own keys go by what they may do now.
async fn void_and_update(draft: &mut Draft, user: &mut User) -> Result<(), Failure> {
    user.generation += 1;
    user.revision = draft.revision();
    written::update_user(draft, user).await?;
    let voided = Voided::user(user.id.clone(), user.generation, draft.now_ms);
    draft.batch.voided.push(voided);
    personal_key::settle(draft, user).await
}

/// The same, and they are logged out everywhere. Sessions are ended last, so that one that is just beginning is seen.
async fn log_out_and_update(draft: &mut Draft, user: &mut User) -> Result<(), Failure> {
    void_and_update(draft, user).await?;
    store::delete_sessions_of(draft.writing(), &user.id).await
}

/// Refuses a change of what is not what it was.
fn check_etag(etag: &str, revision: i64) -> Result<(), Failure> {
    if etag.is_empty() || etag == revision.to_string() {
        return Ok(());
    }
    let message = "it was changed since it was read";
    Err(Failure::new(ErrorReason::Conflict, message).with("etag", revision.to_string()))
}
