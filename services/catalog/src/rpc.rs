//! The gRPC services: they only translate.

mod health;
mod models;
mod providers;
mod watch;

pub use health::HealthApi;
pub use models::ModelApi;
pub use providers::ProviderApi;
pub use watch::WatchApi;
