//! The gRPC services: they only translate.

mod access_watch;
mod accounts;
mod api_keys;
mod audit;
mod audit_ingest;
mod authentication;
mod http;
mod memberships;
mod oidc;
mod personal_keys;
mod sessions;
mod tenants;
mod users;

pub use access_watch::AccessWatchApi;
pub use accounts::AccountApi;
pub use api_keys::ApiKeyApi;
pub use audit::AuditApi;
pub use audit_ingest::AuditIngestApi;
pub use authentication::AuthenticationApi;
pub use memberships::MembershipApi;
pub use oidc::OidcApi;
pub use personal_keys::PersonalKeyApi;
pub use sessions::SessionApi;
pub use tenants::TenantApi;
pub use users::UserApi;

use headgate_kit::Failure;

pub(crate) fn no_such(kind: &str) -> Failure {
    Failure::no_such(kind)
}
