//! One request and its response.

use std::time::{Duration, Instant};

use headgate_bench_tools::stamp;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Incoming;

use crate::sse;
use crate::tally::Tally;
use crate::target::{Connection, Target};

/// The most of an error response that is shown.
const SHOWN_CHARS: usize = 300;

/// Sends one request on `kept` (or on a new connection if that one is gone) and records it; a connection that is still
/// good is left in `kept`. Latency counts from `due`.
pub(crate) async fn once(target: &Target, kept: &mut Option<Connection>, due: Instant, tally: &mut Tally) {
    match attempt(target, kept.take(), due, tally).await {
        Ok(connection) => *kept = Some(connection),
        Err(error) => {
            tally.io_errors += 1;
            tally.remember(error);
        }
    }
}

async fn attempt(
    target: &Target,
    kept: Option<Connection>,
    due: Instant,
    tally: &mut Tally,
) -> Result<Connection, String> {
    let mut connection = match kept {
        None => connect(target).await?,
        Some(mut open) => match open.ready().await {
            Ok(()) => open,
            Err(_closed) => {
                tally.reconnects += 1;
                connect(target).await?
            }
        },
    };
    exchange(target, &mut connection, due, tally).await?;
    Ok(connection)
}

async fn connect(target: &Target) -> Result<Connection, String> {
    match target.connect().await {
        Ok(connection) => Ok(connection),
        Err(error) => {
            // A refused connect must not become a busy loop.
            tokio::time::sleep(Duration::from_millis(10)).await;
            Err(format!("connect: {error}"))
        }
    }
}

async fn exchange(
    target: &Target,
    connection: &mut Connection,
    due: Instant,
    tally: &mut Tally,
) -> Result<(), String> {
    let response = connection.send_request(target.request()).await.map_err(|e| format!("send: {e}"))?;
    let status = response.status();
    let body = response.into_body();
    if status == StatusCode::OK && target.args.stream {
        return stream(target, body, due, tally).await;
    }
    let bytes = body.collect().await.map_err(|e| format!("body: {e}"))?.to_bytes();
    if status == StatusCode::OK {
        tally.ok += 1;
        tally.latency.record(due.elapsed());
    } else {
        tally.http_errors += 1;
        let text: String = String::from_utf8_lossy(&bytes).chars().take(SHOWN_CHARS).collect();
        tally.remember(format!("{status}: {text}"));
    }
    Ok(())
}

async fn stream(target: &Target, mut body: Incoming, due: Instant, tally: &mut Tally) -> Result<(), String> {
    let mut reader = sse::Reader::new();
    let mut last = None::<Instant>;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|e| format!("stream: {e}"))?.into_data() else { continue };
        let (now, wall) = (Instant::now(), stamp::now_micros());
        reader.feed(&data, |sent| {
            tally.transit.record_micros(wall.saturating_sub(sent));
            match last.replace(now) {
                None => tally.ttft.record(now - due),
                Some(before) => tally.gap.record(now - before),
            }
        });
    }
    tally.chunks += u64::from(reader.chunks);
    if reader.done && reader.chunks == target.args.expect_chunks {
        tally.ok += 1;
        tally.latency.record(due.elapsed());
    } else {
        tally.short_streams += 1;
        tally.remember(format!("a stream ended with {} chunks, done={}", reader.chunks, reader.done));
    }
    Ok(())
}
