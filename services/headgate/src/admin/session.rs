//! Who is logged in where: a file of this user's, mode 0600, with the tokens of a session for each server.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use headgate_kit::Failure;
use headgate_kit::clock::Clock;
use headgate_kit::error::ErrorReason;
use headgate_kit::secret_file::write_private;
use headgate_proto::auth::v1::session_service_client::SessionServiceClient;
use headgate_proto::auth::v1::{RefreshRequest, TokenPair};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tonic::transport::Channel;

use super::link::LinkError;
use super::{TaskError, environment};

const FILE: &str = "sessions.json";
const LOCK: &str = "sessions.lock";
/// An access token that has less to live is renewed first.
const LEAST_SECONDS: i64 = 30;

/// What a session is used with. Shows nothing of it.
#[derive(Serialize, Deserialize)]
struct Session {
    access_token: String,
    access_expires_unix_seconds: i64,
    refresh_token: String,
}

/// The sessions of this user, which nobody else changes meanwhile: a refresh token that is used twice ends its session.
pub(super) struct Sessions {
    file: PathBuf,
    by_server: BTreeMap<String, Session>,
    /// Held until this is dropped.
    _lock: File,
}

impl Session {
    fn of(tokens: TokenPair) -> Self {
        Self {
            access_token: tokens.access_token,
            access_expires_unix_seconds: tokens.access_expire_time.map_or(0, |time| time.seconds),
            refresh_token: tokens.refresh_token,
        }
    }
}

impl Sessions {
    /// Those there are. `None` where nobody ever logged in; then nothing is made, either.
    fn kept() -> Result<Option<Self>, TaskError> {
        match environment::config_folder() {
            Some(folder) if folder.join(FILE).exists() => Self::open(&folder).map(Some),
            _ => Ok(None),
        }
    }

    fn open(folder: &Path) -> Result<Self, TaskError> {
        let opened = Self::open_in(folder);
        opened.map_err(|cause| TaskError::Value(format!("{}: {cause}", folder.display())))
    }

    /// Those there are, or none yet.
    pub(super) fn required() -> Result<Self, TaskError> {
        let nowhere =
            || TaskError::Value("set HOME or XDG_CONFIG_HOME: nobody says where a login is kept".into());
        Self::open(&environment::config_folder().ok_or_else(nowhere)?)
    }

    fn open_in(folder: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(folder.join(LOCK))?;
        lock.lock()?;
        let file = folder.join(FILE);
        let by_server = match fs::read(&file) {
            // The cause would quote what stands there.
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|_| io::Error::other(format!("{FILE} is damaged; remove it and log in again")))?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(cause) => return Err(cause),
        };
        Ok(Self { file, by_server, _lock: lock })
    }

    /// Keeps a session, in place of the one there was.
    pub(super) fn keep(&mut self, server: &str, tokens: TokenPair) -> Result<(), TaskError> {
        self.by_server.insert(server.to_owned(), Session::of(tokens));
        self.write()
    }

    /// What ends or renews the session at a server.
    pub(super) fn refresh_token(&self, server: &str) -> Option<String> {
        self.by_server.get(server).map(|session| session.refresh_token.clone())
    }

    /// Forgets a session. The file goes with the last.
    pub(super) fn forget(&mut self, server: &str) -> Result<(), TaskError> {
        self.by_server.remove(server);
        self.write()
    }

    fn write(&self) -> Result<(), TaskError> {
        let written = match self.by_server.is_empty() {
            true => fs::remove_file(&self.file).or_else(|cause| match cause.kind() {
                io::ErrorKind::NotFound => Ok(()),
                _ => Err(cause),
            }),
            false => serde_json::to_vec(&self.by_server)
                .map_err(io::Error::other)
                .and_then(|text| write_private(&self.file, text)),
        };
        written.map_err(|cause| TaskError::Value(format!("{}: {cause}", self.file.display())))
    }
}

/// The access token of who is logged in at a server, renewed there where its time is nearly over. `None` where nobody is.
pub(super) async fn access_token(
    server: &str,
    dial: impl FnOnce() -> Result<Channel, LinkError>,
) -> Result<Option<SecretString>, TaskError> {
    let Some(mut sessions) = Sessions::kept()? else { return Ok(None) };
    let Some(session) = sessions.by_server.get(server) else { return Ok(None) };
    let now = Clock::system().unix_millis() / 1000;
    if session.access_expires_unix_seconds - now >= LEAST_SECONDS {
        return Ok(Some(session.access_token.clone().into()));
    }
    let request = RefreshRequest { refresh_token: session.refresh_token.clone() };
    let renewed = match SessionServiceClient::new(dial()?).refresh(request).await {
        Ok(answer) => answer.into_inner().tokens.ok_or(TaskError::Incomplete)?,
        Err(status) if Failure::from_status(&status).reason == ErrorReason::InvalidCredential => {
            sessions.forget(server)?;
            return Err(TaskError::Value("the session has ended; log in again with `headgate login`".into()));
        }
        Err(status) => return Err(status.into()),
    };
    let token = renewed.access_token.clone().into();
    sessions.keep(server, renewed)?;
    Ok(Some(token))
}
