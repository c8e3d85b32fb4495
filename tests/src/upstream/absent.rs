//! Upstreams that are not there.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A connection that takes longer on this machine is never taken.
const TAKEN: Duration = Duration::from_millis(200);
/// What the kernel may add to the queue of one that was asked for.
const MAX_QUEUE: usize = 64;

/// A URL where nobody listens: connections are refused.
pub fn refusing_url() -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = socket.local_addr().unwrap();
    // Its port is nobody else's as long as this process runs, and without `listen` the kernel refuses.
    std::mem::forget(socket);
    url(address)
}

/// A place where connections are neither taken nor refused, as behind a firewall: a listener whose queue is full.
pub struct Unreachable {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Unreachable {
    /// Makes one.
    ///
    /// # Panics
    /// When the queue does not fill.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(taken) = tokio::time::timeout(TAKEN, TcpStream::connect(address)).await {
            queue.push(taken.expect("the listener stands"));
            assert!(queue.len() < MAX_QUEUE, "the queue does not fill");
        }
        Self { address, _listener: listener, _queue: queue }
    }

    /// The URL below which the API's paths would stand.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.address)
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/v1")
}
