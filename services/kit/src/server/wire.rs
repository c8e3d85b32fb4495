//! From an accepted connection to one that speaks: TLS, where the process has certificates.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::slots::{Http2, Slot};
use crate::identity::{Certificates, services_of};

/// How long a client may take to agree on keys.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// In clear text, or with TLS.
pub(super) type Wire = Either<TcpStream, TlsStream<TcpStream>>;

/// Who is at the other end, as far as the connection can tell.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    /// The services that its certificate vouches for. `None` without a certificate of the deployment's authority.
    pub(super) certificate: Option<Arc<[String]>>,
    /// Where the connection comes from. `None` when it broke before it could be asked.
    pub(super) address: Option<IpAddr>,
}

/// Makes an accepted connection ready to be served; `None` when it came to nothing.
pub(super) async fn open(
    (stream, slot): (TcpStream, Slot),
    certificates: Option<Certificates>,
) -> Option<Http2> {
    // Without it every answer waits for the client's acknowledgement of the one before.
    if let Err(cause) = stream.set_nodelay(true) {
        tracing::debug!(%cause, "no TCP_NODELAY");
    }
    let address = stream.peer_addr().ok().map(|from| from.ip());
    let Some(certificates) = certificates else {
        return Some(Http2::new(Either::Left(stream), Caller { certificate: None, address }, slot));
    };
    match tokio::time::timeout(HANDSHAKE_WITHIN, secure(stream, &certificates)).await {
        Ok(Ok((stream, certificate))) => {
            Some(Http2::new(Either::Right(stream), Caller { certificate, address }, slot))
        }
        Ok(Err(cause)) => {
            tracing::debug!(%cause, "TLS handshake failed");
            None
        }
        Err(_) => None,
    }
}

/// The connection, and the services that the client's certificate names.
async fn secure(
    stream: TcpStream,
    certificates: &Certificates,
) -> io::Result<(TlsStream<TcpStream>, Option<Arc<[String]>>)> {
    let stream = TlsAcceptor::from(certificates.server()).accept(stream).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = shown.map(|certificate| services_of(certificate).into());
    Ok((stream, certificate))
}
