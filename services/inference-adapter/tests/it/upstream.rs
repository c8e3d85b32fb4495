//! An upstream that does what it is told, byte by byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the upstream does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Sends bytes.
    Write(Vec<u8>),
    /// Waits.
    Sleep(u64),
    /// Waits until the other side closes, and notes when it did.
    Hold,
    /// Closes.
    Close,
    /// Resets the connection.
    Reset,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Request line and headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

/// The upstream. It answers every request with the same steps.
pub(crate) struct Upstream {
    pub(crate) base_url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    closed: watch::Receiver<Option<Instant>>,
}

impl Upstream {
    pub(crate) async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let (seen, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (close, closed) = watch::channel(None);
        let upstream = Self { base_url, seen: seen.clone(), connections: connections.clone(), closed };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                socket.set_nodelay(true).unwrap();
                tokio::spawn(serve(socket, steps.clone(), seen.clone(), close.clone()));
            }
        });
        upstream
    }

    /// Answers every request with a whole body.
    pub(crate) async fn answering(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Self {
        Self::start(vec![Step::Write(answer(status, headers, body.as_ref()))]).await
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// When the other side closed a held connection.
    pub(crate) async fn closed(&mut self) -> Instant {
        let closed = tokio::time::timeout(Duration::from_secs(5), self.closed.wait_for(Option::is_some));
        closed.await.expect("not closed within 5 s").unwrap().unwrap()
    }
}

/// A whole answer with a length.
pub(crate) fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The head of an event stream in chunks.
pub(crate) fn stream_head() -> Step {
    Step::Write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())
}

/// Bytes as one chunk.
pub(crate) fn chunk(bytes: impl AsRef<[u8]>) -> Step {
    let bytes = bytes.as_ref();
    Step::Write([format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
}

/// The end of the chunks.
pub(crate) fn last_chunk() -> Step {
    Step::Write(b"0\r\n\r\n".to_vec())
}

async fn serve(
    mut socket: TcpStream,
    steps: Vec<Step>,
    seen: Arc<Mutex<Vec<Seen>>>,
    close: watch::Sender<Option<Instant>>,
) {
    while let Some(request) = read(&mut socket).await {
        seen.lock().push(request);
        for step in &steps {
            match step {
                Step::Write(bytes) => {
                    if socket.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Step::Sleep(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Step::Hold => {
                    let mut rest = [0; 64];
                    while socket.read(&mut rest).await.is_ok_and(|n| n > 0) {}
                    close.send_replace(Some(Instant::now()));
                    return;
                }
                Step::Close => return,
                Step::Reset => {
                    socket.set_zero_linger().unwrap();
                    return;
                }
            }
        }
    }
}

async fn read(socket: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse::<usize>();
    let length = length.unwrap();
    while bytes.len() < end + length {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen { head, body: bytes[end..].to_vec() })
}
