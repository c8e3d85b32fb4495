//! Certificates from files, read anew when they change, so that they can be renewed without a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::config::Files;
use crate::trust::{AuthorityError, certificates};

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read, or holds no key.
    #[error("{0}: {1}")]
    File(PathBuf, String),
    /// A file cannot be read, or holds no certificate.
    #[error(transparent)]
    Certificates(#[from] AuthorityError),
    /// The files do not belong together.
    #[error("certificates: {0}")]
    Tls(#[from] rustls::Error),
    /// The authority cannot vouch for anybody.
    #[error("certificate authority: {0}")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

/// What a process shows and believes. Cheap to clone; clones see what was read last.
#[derive(Clone, Debug)]
pub struct Certificates {
    paths: Arc<[PathBuf; 3]>,
    loaded: Arc<ArcSwap<Loaded>>,
}

#[derive(Debug)]
struct Loaded {
    changed: Vec<Option<SystemTime>>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Certificates {
    pub(super) fn load(files: Files<'_>) -> Result<Self, CertificateError> {
        let paths = Arc::new([files.certificate, files.key, files.ca].map(Path::to_owned));
        let loaded = Arc::new(ArcSwap::from_pointee(Loaded::read(&paths)?));
        Ok(Self { paths, loaded })
    }

    /// For connections that are accepted. Clients need no certificate, but one that is shown must be the authority's.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        self.loaded.load().server.clone()
    }

    /// For connections to peers.
    #[must_use]
    pub fn client(&self) -> Arc<ClientConfig> {
        self.loaded.load().client.clone()
    }

    /// Looks every few seconds whether the files changed. What cannot be used is told, and changes nothing.
    pub async fn keep_current(self, stop: CancellationToken) {
        let mut refused = Vec::new();
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            let changed = changed(&*self.paths);
            if changed == self.loaded.load().changed || changed == refused {
                continue;
            }
            match Loaded::read(&self.paths) {
                Ok(loaded) => {
                    self.loaded.store(Arc::new(loaded));
                    tracing::info!("certificates were read anew");
                }
                Err(cause) => {
                    tracing::error!(%cause, "changed certificates cannot be used");
                    refused = changed;
                }
            }
        }
    }
}

/// What is wrong with the files, by field.
pub(super) fn problems(files: Files<'_>) -> Vec<(&'static str, String)> {
    let read = [
        ("tls.certificate_file", certificates(files.certificate).err().map(CertificateError::from)),
        ("tls.key_file", private_key(files.key).err()),
        ("tls.ca_file", certificates(files.ca).err().map(CertificateError::from)),
    ];
    let unread = read.into_iter().filter_map(|(field, cause)| Some((field, cause?.to_string())));
    let mut problems: Vec<_> = unread.collect();
    if problems.is_empty()
        && let Err(cause) = Certificates::load(files)
    {
        problems.push(("tls", cause.to_string()));
    }
    problems
}

fn changed(paths: &[PathBuf]) -> Vec<Option<SystemTime>> {
    paths.iter().map(|path| path.metadata().and_then(|m| m.modified()).ok()).collect()
}

impl Loaded {
    fn read(paths: &[PathBuf; 3]) -> Result<Self, CertificateError> {
        // Before the contents: what changes in between is read again.
        let changed = changed(paths);
        let [certificate, key, ca] = paths;
        let chain = certificates(certificate)?;
        let key = private_key(key)?;
        let mut roots = RootCertStore::empty();
        for root in certificates(ca)? {
            roots.add(root)?;
        }
        let (roots, ring) = (Arc::new(roots), Arc::new(rustls::crypto::ring::default_provider()));
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), ring.clone())
            .allow_unauthenticated()
            .build()?;
        let mut server = ServerConfig::builder_with_provider(ring.clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())?;
        let mut client = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { changed, server: Arc::new(server), client: Arc::new(client) })
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_file(file).map_err(|e| CertificateError::File(file.to_owned(), e.to_string()))
}

/// The services that a certificate vouches for: the first labels of its DNS names.
pub(crate) fn services(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = x509_parser::certificate::X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let labels = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.split('.').next().unwrap_or(name).to_owned()),
        _ => None,
    });
    labels.collect()
}
