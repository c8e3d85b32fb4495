//! The gRPC services: they only translate.

mod models;
mod providers;
mod watch;

pub use models::ModelApi;
pub use providers::ProviderApi;
pub use watch::WatchApi;
