//! TLS towards a gate: whom to believe, and what to show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use headgate_kit::trust::{AuthorityError, certificates};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// For https:// only.
#[derive(Args)]
pub(crate) struct Files {
    /// Certificates (PEM) of the authorities that the server's must come from, instead of the system's.
    #[arg(long, global = true)]
    ca_file: Option<PathBuf>,
    /// A certificate (PEM) to show to the server.
    #[arg(long, global = true, requires = "key_file")]
    cert_file: Option<PathBuf>,
    /// The key (PEM) of that certificate.
    #[arg(long, global = true, requires = "cert_file")]
    key_file: Option<PathBuf>,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("--ca-file, --cert-file and --key-file are for https:// servers")]
    NotAsked,
    #[error(transparent)]
    Certificates(#[from] AuthorityError),
    #[error("{}: holds no private key", .0.display())]
    Key(PathBuf),
    #[error("this system knows no certificate authority; name one with --ca-file")]
    NoAuthority,
    #[error("certificates: {0}")]
    Tls(#[from] rustls::Error),
}

impl Files {
    pub(super) fn is_given(&self) -> bool {
        self.ca_file.is_some() || self.cert_file.is_some() || self.key_file.is_some()
    }

    /// What dials, and believes a server whose name its certificate has.
    pub(super) fn connector(&self) -> Result<HttpsConnector<HttpConnector>, TlsError> {
        let config = self.config()?;
        Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http2().build())
    }

    fn config(&self) -> Result<ClientConfig, TlsError> {
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots(self.ca_file.as_deref())?);
        match (&self.cert_file, &self.key_file) {
            (Some(certificate), Some(key)) => {
                let shown = certificates(certificate)?;
                let key = PrivateKeyDer::from_pem_file(key).map_err(|_| TlsError::Key(key.clone()))?;
                Ok(config.with_client_auth_cert(shown, key)?)
            }
            _ => Ok(config.with_no_client_auth()),
        }
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            for authority in certificates(file)? {
                roots.add(authority)?;
            }
        }
        // Some of a system's may be of kinds that are not understood.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() { Err(TlsError::NoAuthority) } else { Ok(roots) }
}
