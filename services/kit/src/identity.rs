//! Who calls: a service of the deployment, told by the connection, never by what a client may send.
//!
//! Within a process the handle itself is the proof. Over the wire it is what [`Config`] asks for: a client certificate
//! of the deployment's authority, a signed service token, or both. Who shows neither is a stranger.

mod bearer;
mod certificates;
mod config;
mod peer;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod token;

pub(crate) use bearer::X_API_KEY;
pub use bearer::bearer;
pub(crate) use certificates::services as services_of;
pub use certificates::{CertificateError, Certificates};
pub use config::{Config, Tls};
pub(crate) use peer::Presented;
pub use peer::{Peer, is_from_elsewhere, is_peer, require_peer};
pub use token::{Issuer, TokenKey, X_SERVICE_TOKEN};

use std::sync::Arc;

use crate::clock::Clock;
use token::Verifier;

/// How the services of this deployment know each other over the wire. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Signs what this process presents. `None` where no key is configured.
    pub(crate) issuer: Option<Arc<Issuer>>,
    verifier: Option<Arc<Verifier>>,
    /// Of this process. `None` where it speaks in clear text.
    pub certificates: Option<Certificates>,
}

impl Identity {
    /// Of a process that runs `services`.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn new(config: &Config, services: &[&str], clock: &Clock) -> Result<Self, CertificateError> {
        let key = config.key();
        Ok(Self {
            issuer: key.as_ref().map(|key| Arc::new(Issuer::new(key, services, clock.clone()))),
            verifier: key.as_ref().map(|key| Arc::new(Verifier::new(key, clock.clone()))),
            certificates: config.tls.files().map(Certificates::load).transpose()?,
        })
    }

    /// Whose request it is, if a peer's: everything that is configured must be presented, and one of them must name
    /// the services.
    pub(crate) fn peer(&self, presented: &Presented<'_>) -> Option<Peer> {
        let certificate = match (&self.certificates, presented.certificate) {
            (Some(_), None) => return None,
            (Some(_), Some(services)) => Some(services),
            (None, _) => None,
        };
        match (&self.verifier, certificate) {
            (Some(verifier), _) => Some(Peer::remote(verifier.services(presented.token?)?)),
            (None, Some(services)) => Some(Peer::remote(services.clone())),
            (None, None) => None,
        }
    }
}
