//! A deterministic OpenAI-compatible upstream for benchmarking gateways.
//!
//! It does as little per request as it can, so that what is measured is the gateway in front of it. Every streamed
//! chunk carries the time at which it was written.
//!
//! - `POST /v1/chat/completions`: JSON, or server-sent events when `"stream": true`
//! - `GET /stats`: counters since the start, as JSON

mod answer;
mod handler;
mod sse;
mod stats;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use clap::Parser;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::handler::App;

/// A mock upstream on 127.0.0.1.
#[derive(Parser)]
struct Args {
    /// Port to listen on
    #[arg(long)]
    port: u16,
    /// Milliseconds between a stream's chunks
    #[arg(long, default_value_t = 10)]
    chunk_delay_ms: u64,
    /// Content chunks of a stream
    #[arg(long, default_value_t = 100)]
    chunks: u32,
    /// Threads of this program
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> std::io::Result<()> {
    let args = Args::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads)
        .enable_all()
        .build()?
        .block_on(serve(args))
}

async fn serve(args: Args) -> std::io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, args.port))).await?;
    let app = Arc::new(App::new(args.chunks, args.chunk_delay_ms));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        app.stats.connections.add(1);
        let app = app.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| handler::handle(app.clone(), request));
            let mut http = http1::Builder::new();
            let connection = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // A peer that goes away too early is counted as a cancelled stream.
            let _ended = connection.await;
        });
    }
}
