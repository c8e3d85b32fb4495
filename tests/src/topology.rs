//! How the services of a deployment are spread over processes.

use std::sync::LazyLock;

/// What says which one the tests run on: `all-in-one` (the default), `planes` or `split`.
pub const VARIABLE: &str = "HEADGATE_TEST_TOPOLOGY";

/// A way to spread the services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One process on embedded defaults.
    AllInOne,
    /// The data plane (edge, router, adapter) and the control plane (the rest), on files, memory and NATS.
    Planes,
    /// A process for each service, on PostgreSQL, Redis and NATS.
    Split,
}

static CHOSEN: LazyLock<Topology> = LazyLock::new(|| match told(VARIABLE).as_deref() {
    None | Some("all-in-one") => Topology::AllInOne,
    Some("planes") => Topology::Planes,
    Some("split") => Topology::Split,
    Some(other) => panic!("{VARIABLE} is {other}, not all-in-one, planes or split"),
});

/// What whoever runs the tests said of them, by an environment variable.
#[expect(clippy::disallowed_methods, reason = "how the tests are run is no configuration of the product")]
#[must_use]
pub fn told(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

impl Topology {
    /// The one that this run of the tests is for.
    ///
    /// # Panics
    /// When the environment names one that does not exist.
    #[must_use]
    pub fn chosen() -> Self {
        *CHOSEN
    }

    /// The process that others call which are started before it, by its position in [`Topology::groups`].
    pub(crate) fn called_early(self) -> Option<usize> {
        match self {
            Self::AllInOne => None,
            // Auth tells budget what keys are made with.
            Self::Split => Some(3),
            // The control plane probes through the data plane's adapter.
            Self::Planes => Some(1),
        }
    }

    /// The services of each process, those first that others call.
    pub(crate) fn groups(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::AllInOne => {
                &[&["auth", "catalog", "budget", "usage", "runtime", "adapter", "router", "edge"]]
            }
            Self::Planes => {
                &[&["auth", "catalog", "budget", "usage", "runtime"], &["adapter", "router", "edge"]]
            }
            Self::Split => &[
                &["auth"],
                &["adapter"],
                &["catalog"],
                &["budget"],
                &["usage"],
                &["runtime"],
                &["router"],
                &["edge"],
            ],
        }
    }
}
