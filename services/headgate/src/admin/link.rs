//! The connection of the command line, and the token it presents.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use clap::Args;
use http::Uri;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::tls::{self, TlsError};
use super::{TaskError, environment, session};

/// How long a connection, and a call, may take.
const PATIENCE: Duration = Duration::from_secs(30);
const DIAL: Duration = Duration::from_secs(5);
/// The variable with the token to present, which is set before anything else is looked at. There is no flag for it, as
/// everybody on a machine sees what commands are run with.
const TOKEN: &str = "HEADGATE_TOKEN";
/// Where an operator's token stands in the working directory of a gate.
const OPERATOR_TOKEN: &str = "data/operator.token";

/// Whom to speak to, and as whom.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: Place,
    /// A file with the token to present: an operator's, or the access token of someone who is logged in. Default: the
    /// variable HEADGATE_TOKEN, else who is logged in there (`headgate login`), else data/operator.token.
    #[arg(long, global = true)]
    token_file: Option<PathBuf>,
    /// Where one logged in, if not at --server: where services run apart, that is auth.
    #[arg(long, global = true, env = "HEADGATE_LOGIN_SERVER")]
    login_server: Option<String>,
}

/// Whom to speak to.
#[derive(Args)]
pub(crate) struct Place {
    /// The gRPC listener of the process that runs the service, http://host:port or https://host:port.
    #[arg(
        long,
        alias = "endpoint",
        global = true,
        env = "HEADGATE_SERVER",
        default_value = "http://127.0.0.1:50051"
    )]
    server: String,
    #[command(flatten)]
    tls: tls::Files,
}

/// Why nobody can be spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("--server must be http://host:port or https://host:port")]
    Server,
    #[error("{}: {cause}; log in, or set HEADGATE_TOKEN or --token-file", path.display())]
    TokenFile { path: PathBuf, cause: std::io::Error },
    #[error("the token has characters that no token has")]
    Token,
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A connection that presents a token.
pub(crate) type Link = InterceptedService<Channel, Bearer>;

/// Puts the token on every call.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Place {
    /// As sessions know it.
    pub(crate) fn name(&self) -> &str {
        name(&self.server)
    }

    /// A connection that presents nothing. Dials at the first call.
    pub(crate) fn channel(&self) -> Result<Channel, LinkError> {
        self.channel_to(self.name())
    }

    fn channel_to(&self, server: &str) -> Result<Channel, LinkError> {
        let uri = Uri::from_str(server).map_err(|_| LinkError::Server)?;
        let is_bare = uri.path() == "/" && uri.query().is_none() && uri.host().is_some();
        let endpoint = Endpoint::from(uri.clone()).connect_timeout(DIAL).timeout(PATIENCE);
        match uri.scheme_str() {
            Some("http") if is_bare && !self.tls.is_given() => Ok(endpoint.connect_lazy()),
            Some("http") if is_bare => Err(TlsError::NotAsked.into()),
            Some("https") if is_bare => Ok(endpoint.connect_with_connector_lazy(self.tls.connector()?)),
            _ => Err(LinkError::Server),
        }
    }
}

fn name(server: &str) -> &str {
    server.trim_end_matches('/')
}

/// A connection that presents the token of whoever runs the command.
pub(crate) async fn open(options: &Options) -> Result<Link, TaskError> {
    let channel = options.place.channel()?;
    let token = token(options).await?;
    let mut value = MetadataValue::from_str(&format!("Bearer {}", token.expose_secret().trim()))
        .map_err(|_| LinkError::Token)?;
    value.set_sensitive(true);
    Ok(InterceptedService::new(channel, Bearer(value)))
}

async fn token(options: &Options) -> Result<SecretString, TaskError> {
    if let Some(token) = environment::variable(TOKEN) {
        return Ok(token.into());
    }
    if let Some(file) = &options.token_file {
        return Ok(read(file)?);
    }
    let server = options.login_server.as_deref().map_or_else(|| options.place.name(), name);
    match session::access_token(server, || options.place.channel_to(server)).await? {
        Some(token) => Ok(token),
        None => Ok(read(Path::new(OPERATOR_TOKEN))?),
    }
}

fn read(path: &Path) -> Result<SecretString, LinkError> {
    let text = std::fs::read_to_string(path);
    Ok(text.map_err(|cause| LinkError::TokenFile { path: path.to_owned(), cause })?.into())
}
