//! A real llama.cpp server with a real model, as an upstream.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::http::Client;
use crate::repo;
use crate::wait::eventually;

/// Loading 250 MB and warming up, on a machine that does other things too.
const START: Duration = Duration::from_secs(120);

/// The name the model answers to.
pub const MODEL: &str = "gemma-3-270m";

/// What the server is for: llama.cpp does one of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Chat completions.
    Chat,
    /// Embeddings of 640 dimensions.
    Embeddings,
}

/// A running server. Killed when dropped.
pub struct Llama {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Drop for Llama {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Llama {
    /// Starts one and waits until it has loaded its model.
    ///
    /// # Panics
    /// When the tools are not installed, or it ends or stays unready.
    pub async fn start(task: Task) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (announced, log) = (folder.path().join("listening"), folder.path().join("log"));
        let mut command = Command::new(repo::tool("venv/bin/python"));
        command.arg(repo::root().join("tests/tools/llama_server.py"));
        command.arg("--model").arg(repo::tool("models/gemma-3-270m-q4_k_m.gguf"));
        command.args(["--alias", MODEL, "--announce"]).arg(&announced);
        if task == Task::Embeddings {
            command.arg("--embeddings");
        }
        let output = File::create(&log).expect("a log file");
        let errors = output.try_clone().unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().expect("python starts");
        let mut llama = Self { child, url: String::new(), _folder: folder };
        let address = eventually(START, "llama.cpp's address", || {
            let ended = llama.child.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "llama.cpp ended: {}", fs::read_to_string(&log).unwrap_or_default());
            let address = fs::read_to_string(&announced).ok().and_then(|text| text.trim().parse().ok());
            async move { address }
        })
        .await;
        let client = Client::new(address);
        eventually(START, "llama.cpp's model", || async {
            (client.get("/health").await.status == 200).then_some(())
        })
        .await;
        llama.url = format!("http://{address}/v1");
        llama
    }

    /// The URL below which the API's paths stand, as a provider's `base_url`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}
