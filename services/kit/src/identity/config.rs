//! What operators set.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::token::TokenKey;

/// The section `identity` of the configuration: how services in several processes know each other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What service tokens are signed with: 64 hexadecimal digits, the same in every process. Unset: no tokens.
    #[serde(skip_serializing)]
    pub token_key: Option<SecretString>,
    /// Certificates of this process. Unset: peers and consumers speak in clear text.
    pub tls: Tls,
}

/// Files in PEM format, read anew when they change. All of them, or none.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// The certificate of this process, and those between it and the authority. It is shown to callers and to peers;
    /// without a token key, the first labels of its DNS names are the services that it vouches for.
    pub certificate_file: Option<PathBuf>,
    /// Its private key.
    pub key_file: Option<PathBuf>,
    /// The authority that certificates of peers come from.
    pub ca_file: Option<PathBuf>,
}

/// The files, all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    pub(super) certificate: &'a Path,
    pub(super) key: &'a Path,
    pub(super) ca: &'a Path,
}

impl Config {
    /// What is wrong with the values, by field.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.token_key.is_some() && self.key().is_none() {
            problems.push(("token_key", "must be 64 hexadecimal digits".to_owned()));
        }
        let Tls { certificate_file, key_file, ca_file } = &self.tls;
        let given = [certificate_file, key_file, ca_file].iter().filter(|file| file.is_some()).count();
        if given == 1 || given == 2 {
            let message = "certificate_file, key_file and ca_file must be set together".to_owned();
            problems.push(("tls", message));
        }
        problems.extend(self.tls.files().map(super::certificates::problems).unwrap_or_default());
        problems
    }

    /// Whether peers can prove who they are.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.token_key.is_some() || self.has_certificates()
    }

    /// Whether this process has certificates.
    #[must_use]
    pub fn has_certificates(&self) -> bool {
        self.tls.files().is_some()
    }

    pub(super) fn key(&self) -> Option<TokenKey> {
        TokenKey::parse(self.token_key.as_ref()?.expose_secret())
    }
}

impl Tls {
    pub(super) fn files(&self) -> Option<Files<'_>> {
        Some(Files {
            certificate: self.certificate_file.as_deref()?,
            key: self.key_file.as_deref()?,
            ca: self.ca_file.as_deref()?,
        })
    }
}
