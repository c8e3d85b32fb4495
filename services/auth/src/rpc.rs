//! The gRPC services: they only translate.

mod api_keys;
mod authentication;
mod tenants;

pub use api_keys::ApiKeyApi;
pub use authentication::AuthenticationApi;
pub use tenants::TenantApi;

use headgate_kit::Failure;
use headgate_kit::error::ErrorReason;

fn no_such(kind: &str) -> Failure {
    Failure::new(ErrorReason::NotFound, format!("there is no such {kind}"))
}
