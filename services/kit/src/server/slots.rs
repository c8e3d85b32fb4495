//! Connections of a listener, no more at a time than it has slots for.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;
use tonic::transport::server::Connected;

use super::wire::{Caller, Wire};

/// After a failed accept: most often there are no file descriptors left, and none appear by asking again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take to say that it speaks HTTP/2. From then on, pings find out whether it is there.
const PREFACE_WITHIN: Duration = Duration::from_secs(10);
/// How many bytes it says that with (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// How many more connections may be open.
#[derive(Clone, Debug)]
pub(super) struct Slots(Arc<Semaphore>);

/// A connection's place among them, free again when dropped.
pub(super) type Slot = Option<OwnedSemaphorePermit>;

impl Slots {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))))
    }

    /// The next connection, once there is a slot for it. Until then it waits in the kernel's backlog.
    pub(super) async fn accept(&self, listener: &TcpListener) -> (TcpStream, Slot) {
        // Fails only on a closed semaphore, and this one is never closed.
        let slot = Arc::clone(&self.0).acquire_owned().await.ok();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return (stream, slot),
                Err(cause) => {
                    tracing::warn!(%cause, "no connection accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// A connection that has a slot, and loses it if it does not begin as HTTP/2 in time.
pub(super) struct Http2 {
    stream: Wire,
    caller: Caller,
    /// `None` once the preface was read.
    preface: Option<Preface>,
    _slot: Slot,
}

struct Preface {
    missing: usize,
    until: Pin<Box<Sleep>>,
}

impl Http2 {
    pub(super) fn new(stream: Wire, caller: Caller, slot: Slot) -> Self {
        let until = Box::pin(tokio::time::sleep(PREFACE_WITHIN));
        Self { stream, caller, preface: Some(Preface { missing: PREFACE, until }), _slot: slot }
    }
}

impl AsyncRead for Http2 {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        let Some(preface) = &mut self.preface else { return read };
        preface.missing = preface.missing.saturating_sub(into.filled().len() - before);
        if preface.missing == 0 {
            self.preface = None;
            return read;
        }
        if read.is_pending() && preface.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Http2 {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Connected for Http2 {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, timeout};

    use super::*;

    async fn opened() -> (TcpStream, Http2) {
        let (listener, slots) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Slots::new(1));
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, slot) = slots.accept(&listener).await;
        (client, Http2::new(Wire::Left(stream), Caller::default(), slot))
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_begin_is_cut_off() {
        for begun in [&b""[..], &[b'P'; PREFACE - 1]] {
            let (mut client, mut server) = opened().await;
            client.write_all(begun).await.unwrap();
            let (mut seen, begin) = (Vec::new(), Instant::now());
            let cause = server.read_to_end(&mut seen).await.unwrap_err();
            assert_eq!((cause.kind(), seen.as_slice()), (io::ErrorKind::TimedOut, begun));
            assert_eq!(begin.elapsed().as_secs(), PREFACE_WITHIN.as_secs());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_began_may_be_silent() {
        let (mut client, mut server) = opened().await;
        client.write_all(&[b'P'; PREFACE]).await.unwrap();
        server.read_exact(&mut [0; PREFACE]).await.unwrap();
        assert!(timeout(PREFACE_WITHIN * 100, server.read_u8()).await.is_err());
    }
}
