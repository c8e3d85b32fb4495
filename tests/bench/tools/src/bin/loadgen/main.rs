//! Load generator for OpenAI-compatible gateways; loopback only.
//!
//! - closed loop (`-c 32 -d 15`): every connection sends as fast as answers come;
//! - open loop (`-c 64 -d 15 --rps 200`): requests are due on a fixed schedule, and latency counts from when one was
//!   due, so that a stalled gateway cannot hide its queue (no coordinated omission);
//! - streams (`-c 64 -d 8 --stream`): server-sent events; every stream must have all of its chunks and `[DONE]`.
//!
//! For streams it reports the time to the first content chunk, the gaps between content chunks, and `transit`: how
//! long each chunk was on its way from the mock upstream to here.
//!
//! One JSON object goes to standard output. Times are in microseconds.

mod args;
mod exchange;
mod load;
mod sse;
mod tally;
mod target;

use std::error::Error;
use std::sync::Arc;

use clap::Parser as _;

fn main() -> Result<(), Box<dyn Error>> {
    let args = args::Args::parse();
    let threads = args.threads;
    let target = Arc::new(target::Target::new(args)?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let (tally, seconds) = runtime.block_on(async {
        if target.args.warmup > 0.0 {
            load::run(target.clone(), target.args.warmup).await;
        }
        load::run(target.clone(), target.args.duration).await
    });
    println!("{}", tally.report(&target, seconds));
    // Requests that were given up may still hold their connections.
    runtime.shutdown_background();
    Ok(())
}
