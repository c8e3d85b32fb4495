//! Opens connections to one replica.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower::Service;

use crate::identity::Certificates;

/// Dials an address, with TLS where there are certificates. Whoever dials bounds the time.
#[derive(Clone)]
pub(super) struct Dial {
    pub(super) at: SocketAddr,
    /// The name that the other side's certificate must have.
    pub(super) host: String,
    pub(super) certificates: Option<Certificates>,
}

type Stream = Either<TcpStream, TlsStream<TcpStream>>;

impl Dial {
    async fn dial(self) -> io::Result<TokioIo<Stream>> {
        let stream = TcpStream::connect(self.at).await?;
        stream.set_nodelay(true)?;
        let Some(certificates) = self.certificates else { return Ok(TokioIo::new(Either::Left(stream))) };
        let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
        let stream = TlsConnector::from(certificates.client()).connect(name, stream).await?;
        Ok(TokioIo::new(Either::Right(stream)))
    }
}

impl Service<Uri> for Dial {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().dial())
    }
}
