//! Tenants, people and API keys: who is asking.
//!
//! Owns tenants, users, memberships, sessions and API keys, their database, and the pepper `auth.pepper`. Promises:
//!
//! - The secret of a key is shown once and stored nowhere: the database holds HMAC-SHA-256 under the pepper, and the
//!   pepper is not in the database.
//! - Passwords are stored as Argon2id, tokens of sessions and resets as HMAC-SHA-256 under the pepper, private keys sealed
//!   under it.
//! - What a change answered is durable, in force for [`Auth::authentication_service`] at once, and sent to everyone
//!   who watches, in the order of the changes.
//! - Reading tenants and keys, and judging access tokens, needs no database: it goes on while that is away, and only
//!   changes and whatever is about people are refused.
//! - Of several replicas on one PostgreSQL each knows what another changed within 250 ms; one that cannot tell is silent
//!   to those who watch, takes no new ones, and calls no key good or unknown.

mod access;
mod audit;
mod bootstrap;
mod config;
mod directory;
mod draft;
mod key;
mod key_change;
mod metrics;
mod model;
mod people;
mod pepper;
mod quotas;
mod registry;
mod rpc;
mod signing;
mod standings;
mod store;
mod tenant_change;
mod tenant_lookup;
mod uses;
mod validate;
mod verify;
mod voided;

use std::path::PathBuf;
use std::sync::Arc;

use headgate_access::Gate;
use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::conn::Conn;
use headgate_kit::db::{self, Source};
use headgate_kit::tasks::Tasks;
use headgate_kit::trust::TlsError;
use headgate_proto::auth::v1::access_watch_service_server::AccessWatchServiceServer;
use headgate_proto::auth::v1::account_service_server::AccountServiceServer;
use headgate_proto::auth::v1::api_key_service_server::ApiKeyServiceServer;
use headgate_proto::auth::v1::audit_ingest_service_server::AuditIngestServiceServer;
use headgate_proto::auth::v1::audit_service_server::AuditServiceServer;
use headgate_proto::auth::v1::authentication_service_server::AuthenticationServiceServer;
use headgate_proto::auth::v1::membership_service_server::MembershipServiceServer;
use headgate_proto::auth::v1::oidc_service_server::OidcServiceServer;
use headgate_proto::auth::v1::personal_key_service_server::PersonalKeyServiceServer;
use headgate_proto::auth::v1::session_service_server::SessionServiceServer;
use headgate_proto::auth::v1::tenant_service_server::TenantServiceServer;
use headgate_proto::auth::v1::user_service_server::UserServiceServer;
use secrecy::ExposeSecret as _;

pub use bootstrap::{Bootstrap, BootstrapAdmin, BootstrapKey, BootstrapMembership, BootstrapTenant};
pub use config::{Config, FirstLogin, OidcConfig, OidcProvider, RoleMapping};
pub use pepper::PepperError;
pub use rpc::{
    AccessWatchApi, AccountApi, ApiKeyApi, AuditApi, AuditIngestApi, AuthenticationApi, MembershipApi,
    OidcApi, PersonalKeyApi, SessionApi, TenantApi, UserApi,
};
pub use signing::KeyError;

use crate::metrics::Metrics;
use crate::people::People;
use crate::pepper::Pepper;
use crate::quotas::Quotas;
use crate::registry::Registry;
use crate::standings::Standings;
use crate::store::Store;
use crate::uses::Uses;

/// Its schema.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/auth");

/// What the service needs from its process.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Tells the time of creation, revocation and expiry.
    pub clock: Clock,
    /// Where `auth.pepper` stands. Must exist.
    pub data_dir: PathBuf,
    /// Where its tables are.
    pub database: Source,
    /// Runs changes to their end, and ends watches when it stops.
    pub tasks: Tasks,
    /// Where the service counts.
    pub registry: prometheus::Registry,
    /// Guards what people and operators may do. It is told here, before anyone else, how to judge access tokens.
    pub gate: Gate,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The database cannot be opened or brought up to date.
    #[error(transparent)]
    Database(#[from] db::Error),
    /// The database holds what this program never writes.
    #[error("auth database: {0}")]
    Corrupt(String),
    /// The pepper cannot be read or made.
    #[error(transparent)]
    Pepper(#[from] PepperError),
    /// Access tokens cannot be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Login providers cannot be spoken to over TLS.
    #[error("auth.oidc: {0}")]
    Tls(#[from] TlsError),
    /// What a start makes cannot be made.
    #[error("auth: {0}")]
    Start(Failure),
}

impl BuildError {
    fn database(&self) -> Option<&db::Error> {
        if let Self::Database(cause) = self { Some(cause) } else { None }
    }
}

/// The service. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Auth {
    registry: Arc<Registry>,
    people: People,
    metrics: Metrics,
    gate: Gate,
    uses: Arc<Uses>,
    quotas: Quotas,
    standings: Standings,
}

impl Auth {
    /// Opens the database, waiting for a server that is away, and the pepper, making it on the first start, and reads
    /// all tenants and keys.
    ///
    /// # Errors
    /// When either cannot be opened, the pepper is missing although there are keys, which it alone can verify, or the
    /// database belongs to another pepper.
    pub async fn build(config: Config, deps: Deps) -> Result<Self, BuildError> {
        let source = &deps.database;
        let store = Store(source.open(&MIGRATIONS).await?);
        let (directory, batch) = source.read(async || store.load().await, BuildError::database).await?;
        let known_check =
            async |ours| source.read(async || store.pepper_check(ours).await, |e| Some(e)).await;
        let pepper = match &config.pepper {
            Some(pepper) => Pepper::parse(pepper.expose_secret())?,
            None => {
                let is_new = !directory.has_keys() && known_check(None).await?.is_none();
                Pepper::open(&deps.data_dir.join("auth.pepper"), is_new)?
            }
        };
        let check = pepper.check();
        if known_check(Some(&check)).await?.is_some_and(|known| known != check) {
            return Err(PepperError::Another.into());
        }
        let load_uses = async || Uses::load(store.0.clone()).await;
        let uses = Arc::new(source.read(load_uses, |e| Some(e)).await?);
        let metrics = Metrics::new(&deps.registry);
        let Deps { clock, tasks, gate, .. } = deps;
        let registry = Arc::new(Registry::new(store, directory, pepper, clock, tasks, gate.clone()));
        registry.access.apply(&batch)?;
        let people = People::new(Arc::clone(&registry), config)?;
        people.begin().await.map_err(BuildError::Start)?;
        registry.follow_others();
        people.keep_up_from_now_on();
        Ok(Self {
            registry,
            people,
            metrics,
            gate,
            uses,
            quotas: Quotas::default(),
            standings: Standings::default(),
        })
    }

    /// Has budget set from now on what keys are made with. Until then, keys with limits or a budget of their own cannot be
    /// made.
    pub fn set_quotas_at(&self, budget: Conn) {
        self.quotas.set_at(budget);
    }

    /// Has budget asked from now on where tenants stand. Until then, they are listed without that.
    pub fn ask_standings_at(&self, budget: Conn) {
        self.standings.ask_at(budget);
    }

    /// Makes what is new in the bootstrap, or brings it to what the bootstrap says: tenants and keys, all or nothing, then
    /// people, all or nothing. What was changed by call since the bootstrap said the same stays. It never activates a
    /// tenant or user that was suspended, restores a key that was revoked, nor sets a password where there is one.
    ///
    /// # Errors
    /// INVALID_REQUEST for bad values, ALREADY_EXISTS or CONFLICT where a name or key belongs to another, UNAVAILABLE
    /// when the database is away.
    pub async fn bootstrap(&self, bootstrap: &Bootstrap) -> Result<(), Failure> {
        bootstrap::apply(&self.people, bootstrap).await
    }

    /// Serves logging in and out.
    #[must_use]
    pub fn session_service(&self) -> SessionServiceServer<SessionApi> {
        SessionServiceServer::new(SessionApi::new(self.people.clone(), self.gate.clone()))
    }

    /// Serves logging in with accounts elsewhere.
    #[must_use]
    pub fn oidc_service(&self) -> OidcServiceServer<OidcApi> {
        OidcServiceServer::new(OidcApi::new(self.people.clone()))
    }

    /// Serves people's own accounts.
    #[must_use]
    pub fn account_service(&self) -> AccountServiceServer<AccountApi> {
        AccountServiceServer::new(AccountApi::new(self.people.clone(), self.gate.clone()))
    }

    /// Serves users to super admins.
    #[must_use]
    pub fn user_service(&self) -> UserServiceServer<UserApi> {
        UserServiceServer::new(UserApi::new(self.people.clone(), self.gate.clone()))
    }

    /// Serves who belongs to a tenant.
    #[must_use]
    pub fn membership_service(&self) -> MembershipServiceServer<MembershipApi> {
        MembershipServiceServer::new(MembershipApi::new(self.people.clone(), self.gate.clone()))
    }

    /// Tells peer services how to judge access tokens.
    #[must_use]
    pub fn access_watch_service(&self) -> AccessWatchServiceServer<AccessWatchApi> {
        AccessWatchServiceServer::new(AccessWatchApi::new(Arc::clone(&self.registry)))
    }

    /// Reads the audit log to admins.
    #[must_use]
    pub fn audit_service(&self) -> AuditServiceServer<AuditApi> {
        AuditServiceServer::new(AuditApi::new(Arc::clone(&self.registry), self.gate.clone()))
    }

    /// Takes in what other services have to tell the audit log.
    #[must_use]
    pub fn audit_ingest_service(&self) -> AuditIngestServiceServer<AuditIngestApi> {
        AuditIngestServiceServer::new(AuditIngestApi::new(Arc::clone(&self.registry)))
    }

    /// Serves tenants to their people.
    #[must_use]
    pub fn tenant_service(&self) -> TenantServiceServer<TenantApi> {
        let (registry, standings) = (Arc::clone(&self.registry), self.standings.clone());
        TenantServiceServer::new(TenantApi::new(registry, self.gate.clone(), standings))
    }

    /// Serves API keys to the people of their tenants.
    #[must_use]
    pub fn api_key_service(&self) -> ApiKeyServiceServer<ApiKeyApi> {
        ApiKeyServiceServer::new(self.api_key_api())
    }

    /// Serves people the API keys that they make for themselves.
    #[must_use]
    pub fn personal_key_service(&self) -> PersonalKeyServiceServer<PersonalKeyApi> {
        PersonalKeyServiceServer::new(PersonalKeyApi::new(self.api_key_api(), self.people.clone()))
    }

    fn api_key_api(&self) -> ApiKeyApi {
        let (registry, uses) = (Arc::clone(&self.registry), Arc::clone(&self.uses));
        ApiKeyApi::new(registry, self.gate.clone(), uses, self.quotas.clone())
    }

    /// Serves verification and the watch of keys to peer services.
    #[must_use]
    pub fn authentication_service(&self) -> AuthenticationServiceServer<AuthenticationApi> {
        let (registry, uses) = (Arc::clone(&self.registry), Arc::clone(&self.uses));
        let api = AuthenticationApi::new(registry, self.metrics.clone(), uses);
        AuthenticationServiceServer::new(api)
    }
}

#[cfg(test)]
mod tests;
