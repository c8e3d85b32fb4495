//! The connection of the command line, and the token it presents.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// How long a connection, and a call, may take.
const PATIENCE: Duration = Duration::from_secs(30);
const DIAL: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct Options {
    /// The gRPC listener of the process that runs the service, http://host:port.
    #[arg(long, global = true, env = "HEADGATE_SERVER", default_value = "http://127.0.0.1:50051")]
    server: String,
    /// The token to present: an operator's, or the access token of someone who is logged in. Default: what stands in
    /// the token file.
    #[arg(long, global = true, env = "HEADGATE_TOKEN", hide_env_values = true, hide = true)]
    token: Option<SecretString>,
    /// Where the token stands, unless HEADGATE_TOKEN has it.
    #[arg(long, global = true, default_value = "data/operator.token")]
    token_file: PathBuf,
}

/// Why nobody can be spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("--server must be http://host:port")]
    Server,
    #[error("the token file {}: {cause}; set HEADGATE_TOKEN or --token-file", path.display())]
    TokenFile { path: PathBuf, cause: std::io::Error },
    #[error("the token has characters that no token has")]
    Token,
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

/// Dials at the first call.
pub(crate) fn open(options: &Options) -> Result<Link, LinkError> {
    let address = options.server.parse::<headgate_kit::conn::Address>();
    if address.is_err() || options.server.starts_with("https:") {
        return Err(LinkError::Server);
    }
    let endpoint = Endpoint::from_shared(options.server.clone()).map_err(|_| LinkError::Server)?;
    let channel = endpoint.connect_timeout(DIAL).timeout(PATIENCE).connect_lazy();
    Ok(InterceptedService::new(channel, Bearer(bearer(options)?)))
}

fn bearer(options: &Options) -> Result<MetadataValue<Ascii>, LinkError> {
    let token = match &options.token {
        Some(token) => token.clone(),
        None => read(&options.token_file)?,
    };
    let bearer = format!("Bearer {}", token.expose_secret().trim());
    let mut value = MetadataValue::from_str(&bearer).map_err(|_| LinkError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(path: &Path) -> Result<SecretString, LinkError> {
    let text = std::fs::read_to_string(path);
    Ok(text.map_err(|cause| LinkError::TokenFile { path: path.to_owned(), cause })?.into())
}
