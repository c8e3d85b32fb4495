//! Whose word is taken for servers elsewhere: public authorities, and those of an operator's own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// Why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", file.display())]
pub struct AuthorityError {
    file: PathBuf,
    why: String,
}

/// The certificates in a PEM file, one at least.
///
/// # Errors
/// When the file cannot be read, or holds none.
pub fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
    let fail = |why: String| AuthorityError { file: file.to_owned(), why };
    let read = CertificateDer::pem_file_iter(file).map_err(|e| fail(e.to_string()))?;
    let found = read.collect::<Result<Vec<_>, _>>().map_err(|e| fail(e.to_string()))?;
    if found.is_empty() { Err(fail("holds no certificate".to_owned())) } else { Ok(found) }
}

/// TLS towards servers that Mozilla's roots vouch for, or the authorities in `ca_file`.
///
/// # Errors
/// When the file cannot be used, or TLS cannot be set up.
pub fn client(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for own in ca_file.map(certificates).transpose()?.unwrap_or_default() {
        roots.add(own)?;
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(ring).with_safe_default_protocol_versions()?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be set up.
    #[error("tls: {0}")]
    Tls(#[from] rustls::Error),
    /// `ca_file` cannot be used.
    #[error("ca_file: {0}")]
    Authorities(#[from] AuthorityError),
}

/// What is wrong with the setting `ca_file`, by field.
#[must_use]
pub fn problem(ca_file: Option<&Path>) -> Option<(&'static str, String)> {
    let file = ca_file?;
    let why = match certificates(file) {
        Err(cause) => cause.to_string(),
        Ok(found) => {
            let mut roots = rustls::RootCertStore::empty();
            let refused = found.into_iter().find_map(|certificate| roots.add(certificate).err());
            format!("{}: {}", file.display(), refused?)
        }
    };
    Some(("ca_file", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_holds_no_certificate_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        assert_eq!(problem(None), None);
        for (text, told) in [(None, "No such file"), (Some("planted"), "holds no certificate")] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let (field, why) = problem(Some(&file)).unwrap();
            assert_eq!(field, "ca_file");
            assert!(why.contains(told) && why.contains("ca.pem") && !why.contains("planted"), "{why}");
        }
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&file, broken).unwrap();
        assert!(problem(Some(&file)).is_some(), "no certificate");
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
        std::fs::write(&file, good.repeat(2)).unwrap();
        assert_eq!(problem(Some(&file)), None);
    }
}
