//! One real `headgate` process, on ports of the kernel's choice and a data folder of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::http::Client;
use crate::repo;
use crate::wait::eventually;

/// How long a start may take on a machine that builds and tests at the same time.
pub(crate) const START: Duration = Duration::from_secs(60);

/// A process that serves. Killed when dropped.
pub struct Node {
    folder: PathBuf,
    invocation: Invocation,
    process: Process,
    listeners: Listeners,
}

/// How a process is started, the first time and every other.
#[derive(Clone, Default)]
pub(crate) struct Invocation {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// Where a process listens.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Listeners {
    /// REST, where it has an edge.
    pub(crate) edge: Option<SocketAddr>,
    pub(crate) grpc: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`.
    pub(crate) ops: SocketAddr,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Node {
    /// Starts one in `folder`, with its data in `folder/data`, and waits until it listens.
    ///
    /// # Panics
    /// When it isn't built, or ends before.
    pub(crate) async fn launch(folder: PathBuf, invocation: Invocation) -> Self {
        let (process, listeners) = launch(&invocation, &folder).await;
        Self { folder, invocation, process, listeners }
    }

    /// Ends the process as a crash would: SIGKILL, nothing is flushed.
    ///
    /// # Panics
    /// When it is not running.
    pub fn kill(&mut self) {
        self.process.0.kill().expect("it runs");
        self.process.0.wait().expect("it ends");
    }

    /// Asks the process to end, as an init system does.
    pub(crate) fn ask_to_end(&self) {
        let id = self.process.0.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill exists");
        assert!(sent.success(), "it runs");
    }

    /// Waits for its end, and returns its exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        wait_for(START, &mut self.process.0).await.code()
    }

    /// Asks the process to end, as an init system does, and returns its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.ask_to_end();
        self.ended().await
    }

    /// Starts it again on the same folder, and waits until it listens.
    ///
    /// # Panics
    /// When it ends before.
    pub async fn restart(&mut self) {
        let (process, listeners) = launch(&self.invocation, &self.folder).await;
        self.process = process;
        self.listeners = listeners;
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    /// When it stays unready.
    pub async fn ready(&self) {
        let ops = self.ops();
        eventually(START, "readiness", || async { (ops.get("/readyz").await.status == 200).then_some(()) })
            .await;
    }

    pub(crate) fn listeners(&self) -> Listeners {
        self.listeners
    }

    /// Where it serves gRPC.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.listeners.grpc
    }

    /// A client of its ops listener.
    #[must_use]
    pub fn ops(&self) -> Client {
        Client::new(self.listeners.ops)
    }

    /// All that every run of the process has printed.
    #[must_use]
    pub fn logs(&self) -> String {
        logs(&self.folder)
    }
}

pub(crate) fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
}

pub(crate) fn config_file(folder: &Path) -> PathBuf {
    folder.join("headgate.yaml")
}

/// Runs the binary with arguments to its end, and returns its exit code and all that it printed.
///
/// # Panics
/// When it isn't built, or doesn't end.
pub async fn run_to_end(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    run_to_end_with(arguments, &[], folder).await
}

/// The same with variables in its environment.
///
/// # Panics
/// When it does not end.
pub async fn run_to_end_with(
    arguments: &[&str],
    environment: &[(&'static str, &str)],
    folder: &Path,
) -> (Option<i32>, String) {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let environment = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let mut child = spawn(&Invocation { arguments, environment }, folder);
    let status = wait_for(START, &mut child.0).await;
    (status.code(), logs(folder))
}

fn logs(folder: &Path) -> String {
    let read = |name| fs::read(folder.join(name)).expect("what it printed is kept");
    let printed = [read("stdout.log"), read("stderr.log")].concat();
    String::from_utf8_lossy(&printed).into_owned()
}

fn spawn(invocation: &Invocation, folder: &Path) -> Process {
    let append =
        |name| File::options().create(true).append(true).open(folder.join(name)).expect("a log file");
    let child = Command::new(repo::binary())
        .args(&invocation.arguments)
        .current_dir(folder)
        .env_clear()
        .envs(invocation.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(append("stdout.log"))
        .stderr(append("stderr.log"))
        .spawn()
        .expect("the binary starts");
    Process(child)
}

async fn launch(invocation: &Invocation, folder: &Path) -> (Process, Listeners) {
    let announced = data_dir(folder).join("listeners.json");
    // Left there by the run before, and about to be wrong.
    drop(fs::remove_file(&announced));
    let mut process = spawn(invocation, folder);
    let start = Instant::now();
    loop {
        let listeners = fs::read(&announced).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(listeners) = listeners {
            return (process, listeners);
        }
        let ended = process.0.try_wait().expect("a child can be waited for");
        if ended.is_some() || start.elapsed() > START {
            panic!("headgate did not start ({ended:?}):\n{}", tail(&logs(folder)));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_for(within: Duration, child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status;
        }
        assert!(start.elapsed() < within, "the process did not end within {within:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
