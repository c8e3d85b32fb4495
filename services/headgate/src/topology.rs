//! Which services run in this process, and where the others are.

use std::collections::BTreeSet;

use clap::ValueEnum;
use headgate_kit::conn::{Address, AddressError};
use headgate_kit::db::Parts;
use serde::{Deserialize, Serialize};

/// A service of Headgate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Service {
    Edge,
    Router,
    Adapter,
    Auth,
    Catalog,
    Budget,
    Usage,
    Runtime,
}

impl Service {
    /// As the command line, the configuration and service tokens call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Router => "router",
            Self::Adapter => "adapter",
            Self::Auth => "auth",
            Self::Catalog => "catalog",
            Self::Budget => "budget",
            Self::Usage => "usage",
            Self::Runtime => "runtime",
        }
    }

    /// Those that have a database.
    pub(crate) const WITH_DATABASE: [Self; 4] = [Self::Auth, Self::Catalog, Self::Budget, Self::Usage];

    /// What readiness calls its database while it is not open yet.
    pub(crate) const fn database_parts(self) -> Parts {
        let (database, migrations) = match self {
            Self::Auth => ("auth: database", "auth: migrations"),
            Self::Catalog => ("catalog: database", "catalog: migrations"),
            Self::Budget => ("budget: database", "budget: migrations"),
            Self::Usage => ("usage: database", "usage: migrations"),
            Self::Edge | Self::Router | Self::Adapter | Self::Runtime => ("database", "migrations"),
        };
        Parts { database, migrations }
    }

    /// Whom it calls.
    const fn calls(self) -> &'static [Self] {
        match self {
            Self::Edge => &[Self::Router],
            Self::Router => &[Self::Auth, Self::Catalog, Self::Budget, Self::Adapter],
            // Who presents an access token, auth tells.
            Self::Catalog => &[Self::Auth, Self::Adapter],
            Self::Budget | Self::Usage | Self::Runtime => &[Self::Auth],
            // Keys are made with limits and budgets.
            Self::Auth => &[Self::Budget],
            Self::Adapter => &[],
        }
    }
}

/// Who answers the calls of each proto package.
pub(crate) const PACKAGES: [(&str, Service); 7] = [
    ("headgate.auth.v1", Service::Auth),
    ("headgate.budget.v1", Service::Budget),
    ("headgate.catalog.v1", Service::Catalog),
    ("headgate.inference.v1", Service::Router),
    ("headgate.router.v1", Service::Router),
    ("headgate.runtime.v1", Service::Runtime),
    ("headgate.usage.v1", Service::Usage),
];

/// The services of one process, one at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Here(BTreeSet<Service>);

impl Here {
    /// These, or all of them when none is named.
    pub(crate) fn only(named: &[Service]) -> Self {
        if named.is_empty() { Self::all() } else { Self(named.iter().copied().collect()) }
    }

    /// All of them.
    pub(crate) fn all() -> Self {
        Self(Service::value_variants().iter().copied().collect())
    }

    /// Whether no other process is needed.
    pub(crate) fn is_all(&self) -> bool {
        self.0.len() == Service::value_variants().len()
    }

    pub(crate) fn runs(&self, service: Service) -> bool {
        self.0.contains(&service)
    }

    pub(crate) fn runs_all(&self, services: &[Service]) -> bool {
        services.iter().all(|service| self.runs(*service))
    }

    pub(crate) fn runs_any(&self, services: &[Service]) -> bool {
        services.iter().any(|service| self.runs(*service))
    }

    /// How many of them have a database.
    pub(crate) fn databases(&self) -> u32 {
        Service::WITH_DATABASE.into_iter().map(|service| u32::from(self.runs(service))).sum()
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|service| service.name()).collect()
    }

    /// Those elsewhere that services of this process call.
    pub(crate) fn needs(&self) -> BTreeSet<Service> {
        let called = self.0.iter().flat_map(|service| service.calls());
        called.filter(|service| !self.runs(**service)).copied().collect()
    }
}

/// Where services of other processes are: `http://host:port`, or `https://host:port` with certificates, several with
/// commas between them. A name with several addresses stands for as many replicas.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Peers {
    pub(crate) router: Option<String>,
    pub(crate) adapter: Option<String>,
    pub(crate) auth: Option<String>,
    pub(crate) catalog: Option<String>,
    pub(crate) budget: Option<String>,
    pub(crate) usage: Option<String>,
    pub(crate) runtime: Option<String>,
}

impl Peers {
    /// Where a service is; `None` when that is not set.
    pub(crate) fn address(&self, service: Service) -> Option<Result<Address, AddressError>> {
        let address = match service {
            Service::Edge => None,
            Service::Router => self.router.as_ref(),
            Service::Adapter => self.adapter.as_ref(),
            Service::Auth => self.auth.as_ref(),
            Service::Catalog => self.catalog.as_ref(),
            Service::Budget => self.budget.as_ref(),
            Service::Usage => self.usage.as_ref(),
            Service::Runtime => self.runtime.as_ref(),
        };
        address.map(|text| text.parse())
    }

    /// What is wrong with the values, by field, for a process that runs `here`. `tls` says whether it has
    /// certificates.
    pub(crate) fn problems(&self, here: &Here, tls: bool) -> Vec<(&'static str, String)> {
        let needs = here.needs();
        let problem = |service: &Service| match self.address(*service) {
            Some(Err(fault)) => Some((service.name(), fault.to_string())),
            Some(Ok(address)) if address.is_tls() && !tls => {
                Some((service.name(), "https needs identity.tls".to_owned()))
            }
            Some(Ok(address)) if !address.is_tls() && tls => Some((
                service.name(),
                "must be https: with identity.tls, services speak to each other by certificates only"
                    .to_owned(),
            )),
            None if needs.contains(service) => Some((
                service.name(),
                "must be set, since that service does not run in this process".to_owned(),
            )),
            Some(Ok(_)) | None => None,
        };
        Service::value_variants().iter().filter_map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_needs_those_it_calls_and_does_not_run() {
        let needs = |services: &[Service]| Here::only(services).needs().into_iter().collect::<Vec<_>>();
        assert_eq!(needs(&[]), []);
        assert_eq!(needs(&[Service::Edge]), [Service::Router]);
        let data_plane = [Service::Edge, Service::Router, Service::Adapter];
        assert_eq!(needs(&data_plane), [Service::Auth, Service::Catalog, Service::Budget]);
        for service in [Service::Budget, Service::Usage, Service::Runtime] {
            assert_eq!(needs(&[service]), [Service::Auth], "{service:?}");
        }
        assert_eq!(needs(&[Service::Auth]), [Service::Budget]);
        assert_eq!(needs(&[Service::Auth, Service::Budget]), []);
        assert_eq!(needs(&[Service::Catalog]), [Service::Adapter, Service::Auth]);
        assert_eq!(needs(&[Service::Adapter]), []);
    }

    #[test]
    fn addresses_are_checked_and_asked_for() {
        let peers = Peers {
            router: Some("http://router:50051".into()),
            auth: Some("auth".into()),
            catalog: Some("https://catalog:50051".into()),
            ..Peers::default()
        };
        let named =
            |here: &Here, tls| peers.problems(here, tls).into_iter().map(|(f, _)| f).collect::<Vec<_>>();
        assert_eq!(named(&Here::all(), false), ["auth", "catalog"]);
        assert_eq!(named(&Here::only(&[Service::Edge]), false), ["auth", "catalog"]);
        assert_eq!(named(&Here::only(&[Service::Edge]), true), ["router", "auth"]);
        assert_eq!(named(&Here::only(&[Service::Router]), true), ["router", "adapter", "auth", "budget"]);
    }
}
