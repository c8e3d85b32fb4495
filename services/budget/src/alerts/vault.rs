//! Alerts at rest: sealed, under a key that is not in the database.

use std::io;
use std::path::Path;

use headgate_kit::db::{self, Source};
use headgate_kit::seal::{MasterKey, SealError};
use headgate_kit::secret_file::{self, SecretFileError};

use headgate_proto::budget::v1::BudgetAlerts;
use prost::Message as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::Alerts;
use crate::store::Store;

/// Where the key is kept that no configuration gives.
const FILE: &str = "budget.key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SealingKeyError {
    /// The file cannot be read or made.
    #[error("budget.key: {0}")]
    File(#[from] io::Error),
    /// It is something else.
    #[error("the sealing key of budget must be 64 hexadecimal digits")]
    Malformed,
    /// There may be something that only the missing key opens.
    #[error(
        "the sealing key is missing although the database belongs to one: restore budget.key or set budget.sealing_key"
    )]
    Missing,
    /// The database belongs to another key.
    #[error("the database belongs to another sealing key: every replica needs the same budget.sealing_key")]
    Another,
}

impl From<SecretFileError> for SealingKeyError {
    fn from(fault: SecretFileError) -> Self {
        match fault {
            SecretFileError::File(e) => Self::File(e),
            SecretFileError::Malformed => Self::Malformed,
        }
    }
}

/// Whether a text is a sealing key.
pub(crate) fn is_key(text: &SecretString) -> bool {
    secret_file::parse(text.expose_secret()).is_some()
}

/// Seals and opens alerts.
#[derive(Clone, Debug)]
pub(crate) struct Vault(MasterKey);

impl Vault {
    /// With the key that is given, or that of the folder, which is made with a database that has none yet. Waits for a
    /// server that is away.
    pub(crate) async fn open(
        given: Option<&SecretString>,
        folder: &Path,
        store: &Store,
        source: &Source,
    ) -> Result<Self, VaultError> {
        let check = async |ours| source.read(async || store.sealing_check(ours).await, |e| Some(e)).await;
        let key = match given {
            Some(given) => secret_file::parse(given.expose_secret()).ok_or(SealingKeyError::Malformed)?,
            None => in_folder(folder, check(None).await?.is_none())?,
        };
        let key = MasterKey::from_bytes(key);
        match check(Some(key.id())).await? {
            Some(known) if known != key.id() => Err(SealingKeyError::Another.into()),
            _ => Ok(Self(key)),
        }
    }

    /// What seals.
    pub(crate) fn key(&self) -> &MasterKey {
        &self.0
    }

    /// Alerts as they are stored with the budget of a scope. `None` where nothing is set.
    pub(crate) fn seal(&self, place: (&str, &str), alerts: &Alerts) -> Result<Option<Vec<u8>>, SealError> {
        let sealed = alerts.told().map(|told| self.0.seal_bytes(&purpose(place), &told.encode_to_vec()));
        sealed.transpose()
    }

    /// What was stored. Where it does not open, it was altered, and there is nothing.
    pub(crate) fn unseal(&self, place: (&str, &str), sealed: Option<&[u8]>) -> Alerts {
        let Some(sealed) = sealed else { return Alerts::default() };
        self.try_unseal(place, sealed).unwrap_or_else(|cause| {
            let (kind, id) = place;
            tracing::error!(%cause, scope = kind, id, "the alerts of a budget cannot be read: set them anew");
            Alerts::default()
        })
    }

    fn try_unseal(&self, place: (&str, &str), sealed: &[u8]) -> Result<Alerts, SealError> {
        let plain = self.0.open_bytes(&purpose(place), sealed)?;
        BudgetAlerts::decode(plain.as_slice()).map(Alerts).map_err(|_| SealError::Wrong)
    }
}

/// Why there is no vault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VaultError {
    #[error(transparent)]
    Key(#[from] SealingKeyError),
    #[error(transparent)]
    Database(#[from] db::Error),
}

fn in_folder(folder: &Path, may_create: bool) -> Result<secret_file::Bytes32, SealingKeyError> {
    let path = folder.join(FILE);
    match secret_file::read(&path)? {
        Some(key) => Ok(key),
        None if may_create => Ok(secret_file::create(&path)?),
        None => Err(SealingKeyError::Missing),
    }
}

/// What is sealed for one budget opens for no other.
fn purpose((kind, id): (&str, &str)) -> String {
    format!("headgate: alerts of the budget of {kind} {id}")
}
