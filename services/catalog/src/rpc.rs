//! The gRPC services: they only translate.

mod backup;
mod default_model;
mod health;
mod master_key;
mod models;
mod prices;
mod providers;
mod registration;
mod watch;

pub use backup::BackupApi;
pub use default_model::DefaultModelApi;
pub use health::HealthApi;
pub use master_key::MasterKeyApi;
pub use models::ModelApi;
pub use prices::PriceApi;
pub use providers::ProviderApi;
pub use registration::RegistrationApi;
pub use watch::WatchApi;
