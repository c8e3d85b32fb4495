//! `headgate migrate`: brings tables up to date, for deployments where a start shall not.

use std::path::Path;
use std::process::ExitCode;

use headgate_kit::telemetry;
use sqlx::migrate::Migrator;

use crate::cli::{EXIT_CONFIG, complain, say};
use crate::config_command;
use crate::data_dir;
use crate::settings::Settings;
use crate::topology::{Here, Service};

/// Does what is missing for the services of `only`, and tells what it did.
pub(crate) fn run(config: Option<&Path>, only: &Here) -> ExitCode {
    let settings = match Settings::load_for_databases(config) {
        Ok(settings) => settings,
        Err(problems) => {
            config_command::report(&problems);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    telemetry::init(&settings.log);
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a crypto provider was installed already");
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => {
            complain(format!("no runtime: {cause}"));
            return ExitCode::FAILURE;
        }
    };
    if runtime.block_on(migrate_all(&settings, only)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether all went well.
async fn migrate_all(settings: &Settings, only: &Here) -> bool {
    let mut well = true;
    for service in Service::WITH_DATABASE.into_iter().filter(|service| only.runs(*service)) {
        match migrate(settings, service).await {
            Ok(versions) if versions.is_empty() => say(format!("{}: up to date", service.name())),
            Ok(versions) => {
                let versions: Vec<_> = versions.iter().map(i64::to_string).collect();
                say(format!("{}: applied {}", service.name(), versions.join(", ")));
            }
            Err(cause) => {
                complain(format!("{}: {cause}", service.name()));
                well = false;
            }
        }
    }
    well
}

async fn migrate(settings: &Settings, service: Service) -> Result<Vec<i64>, Box<dyn std::error::Error>> {
    let Some(migrations) = migrations(service) else { return Ok(Vec::new()) };
    // A job for PostgreSQL has no folder to write in.
    if settings.database.url_of(service.name()).is_none() {
        data_dir::make(&settings.data_dir)?;
    }
    Ok(settings.source(&settings.data_dir, service, 1)?.migrate(migrations).await?)
}

fn migrations(service: Service) -> Option<&'static Migrator> {
    match service {
        Service::Auth => Some(&headgate_auth::MIGRATIONS),
        Service::Catalog => Some(&headgate_catalog::MIGRATIONS),
        Service::Budget => Some(&headgate_budget::MIGRATIONS),
        Service::Usage => Some(&headgate_usage::MIGRATIONS),
        Service::Edge | Service::Router | Service::Adapter | Service::Runtime => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_with_a_database_has_migrations_whose_order_is_their_time() {
        for service in Service::WITH_DATABASE {
            let versions: Vec<_> = migrations(service).unwrap().iter().map(|one| one.version).collect();
            assert!(versions.is_sorted_by(|a, b| a < b) && !versions.is_empty(), "{versions:?}");
            let (old, timed): (Vec<i64>, Vec<i64>) = versions.into_iter().partition(|version| *version < 100);
            assert!(old.len() <= 2, "new ones are named by their time: {old:?}");
            assert!(timed.iter().all(|version| version.to_string().len() == 14), "{timed:?}");
        }
    }
}
