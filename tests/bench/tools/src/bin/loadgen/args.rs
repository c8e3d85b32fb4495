//! The command line.

use clap::Parser;
use hyper::Uri;

/// Load for an OpenAI-compatible gateway on this machine.
#[derive(Parser, Clone)]
pub(crate) struct Args {
    /// Where to, e.g. <http://127.0.0.1:8080/v1/chat/completions>
    #[arg(long)]
    pub(crate) url: Uri,
    /// Connections (closed loop: requests in flight; open loop: the most in flight)
    #[arg(short, default_value_t = 32)]
    pub(crate) connections: usize,
    /// Seconds of load; requests in flight at the end are waited for
    #[arg(short, default_value_t = 10.0)]
    pub(crate) duration: f64,
    /// The longest wait for requests in flight at the end, in seconds
    #[arg(long, default_value_t = 30.0)]
    pub(crate) drain: f64,
    /// Seconds of the same load beforehand that are not recorded
    #[arg(long, default_value_t = 0.0)]
    pub(crate) warmup: f64,
    /// Fixed request rate (open loop)
    #[arg(long)]
    pub(crate) rps: Option<f64>,
    /// Ask for streams
    #[arg(long)]
    pub(crate) stream: bool,
    /// Ask streams for their usage chunk
    #[arg(long)]
    pub(crate) include_usage: bool,
    /// Content chunks a whole stream has; any other count is an error
    #[arg(long, default_value_t = 100)]
    pub(crate) expect_chunks: u32,
    /// The model to ask
    #[arg(long, default_value = "mock-model")]
    pub(crate) model: String,
    /// Size of the prompt in bytes
    #[arg(long, default_value_t = 64)]
    pub(crate) prompt_bytes: usize,
    /// Extra header, `Name: value`; may be repeated
    #[arg(short = 'H', long = "header")]
    pub(crate) headers: Vec<String>,
    /// Threads of this program
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
}
