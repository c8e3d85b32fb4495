//! The gRPC services: they only translate.

mod api_keys;
mod authentication;
mod tenants;

pub use api_keys::ApiKeyApi;
pub use authentication::AuthenticationApi;
pub use tenants::TenantApi;

use headgate_kit::Failure;

pub(crate) fn no_such(kind: &str) -> Failure {
    Failure::no_such(kind)
}
