//! The real `headgate` process, on ports of the kernel's choice and a data folder of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tempfile::TempDir;

use crate::http::Client;
use crate::operator::{Authorized, authorized};
use crate::repo;
use crate::setup::{KEY, Setup};
use crate::wait::eventually;

/// How long a start may take on a machine that builds and tests at the same time.
const START: Duration = Duration::from_secs(60);

/// A running gate. Killed when dropped, and its folder removed.
pub struct Headgate {
    folder: TempDir,
    invocation: Invocation,
    process: Process,
    listeners: Listeners,
}

/// How the process is started, the first time and every other.
#[derive(Default)]
struct Invocation {
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

/// Where it listens.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Listeners {
    /// REST.
    pub edge: SocketAddr,
    /// gRPC.
    pub grpc: SocketAddr,
    /// `/livez`, `/readyz`, `/metrics`.
    pub ops: SocketAddr,
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Headgate {
    /// Starts one and waits until it is ready.
    ///
    /// # Panics
    /// When it isn't built, or ends or stays unready.
    pub async fn start(setup: &Setup) -> Self {
        let folder = new_folder();
        let config = config_file(folder.path());
        fs::write(&config, setup.render(&data_dir(folder.path()))).unwrap();
        let arguments = ["serve", "--config", config.to_str().expect("a UTF-8 path")];
        let arguments = arguments.map(str::to_owned).into();
        Self::launch(folder, Invocation { arguments, ..Invocation::default() }).await
    }

    /// Starts one as a newcomer does, without a configuration: only the environment says where it listens and where
    /// its data is.
    ///
    /// # Panics
    /// When it isn't built, or ends or stays unready.
    pub async fn start_without_config() -> Self {
        let folder = new_folder();
        let anywhere = || "127.0.0.1:0".to_owned();
        let environment = vec![
            ("HEADGATE__EDGE__LISTEN", anywhere()),
            ("HEADGATE__GRPC__LISTEN", anywhere()),
            ("HEADGATE__OPS__LISTEN", anywhere()),
            ("HEADGATE__DATA_DIR", data_dir(folder.path()).display().to_string()),
        ];
        Self::launch(folder, Invocation { arguments: vec!["serve".into()], environment }).await
    }

    async fn launch(folder: TempDir, invocation: Invocation) -> Self {
        let (process, listeners) = launch(&invocation, folder.path()).await;
        Self { folder, invocation, process, listeners }
    }

    /// Ends the process as a crash would: SIGKILL, nothing is flushed.
    pub fn kill(&mut self) {
        self.process.0.kill().expect("it runs");
        self.process.0.wait().expect("it ends");
    }

    /// Asks the process to end, as an init system does, and returns its exit code.
    pub async fn terminate(&mut self) -> Option<i32> {
        let id = self.process.0.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill exists");
        assert!(sent.success(), "it runs");
        let child = &mut self.process.0;
        let status = wait_for(START, child).await;
        status.code()
    }

    /// Starts it again on the same folder, perhaps on other ports.
    pub async fn restart(&mut self) {
        let (process, listeners) = launch(&self.invocation, self.folder.path()).await;
        self.process = process;
        self.listeners = listeners;
    }

    /// Starts it again on the same folder with another configuration.
    pub async fn restart_with(&mut self, setup: &Setup) {
        fs::write(config_file(self.folder.path()), setup.render(&self.data_dir())).unwrap();
        self.restart().await;
    }

    /// Where it listens.
    #[must_use]
    pub fn listeners(&self) -> Listeners {
        self.listeners
    }

    /// The URL below which OpenAI's paths stand, as an SDK's `base_url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.listeners.edge)
    }

    /// A REST client with the key of the tenant `acme`.
    #[must_use]
    pub fn client(&self) -> Client {
        self.anonymous().with_key(KEY)
    }

    /// A REST client without a key.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(self.listeners.edge)
    }

    /// A client of the ops listener.
    #[must_use]
    pub fn ops(&self) -> Client {
        Client::new(self.listeners.ops)
    }

    /// A gRPC connection that presents `credential`.
    pub async fn grpc(&self, credential: &str) -> Authorized {
        authorized(self.listeners.grpc, credential).await
    }

    /// A gRPC connection that presents the operator token.
    pub async fn operator(&self) -> Authorized {
        self.grpc(&self.operator_token()).await
    }

    /// The operator token.
    #[must_use]
    pub fn operator_token(&self) -> String {
        let file = self.data_dir().join("operator.token");
        fs::read_to_string(file).expect("the operator token").trim().to_owned()
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        data_dir(self.folder.path())
    }

    /// All that every run of the process has printed.
    #[must_use]
    pub fn logs(&self) -> String {
        logs(self.folder.path())
    }
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

fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("headgate-test-").tempdir().expect("a temporary folder")
}

fn config_file(folder: &Path) -> PathBuf {
    folder.join("headgate.yaml")
}

fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
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
            wait_until_ready(&listeners).await;
            return (process, listeners);
        }
        let ended = process.0.try_wait().expect("a child can be waited for");
        if ended.is_some() || start.elapsed() > START {
            panic!("headgate did not start ({ended:?}):\n{}", tail(&logs(folder)));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn wait_until_ready(listeners: &Listeners) {
    let ops = Client::new(listeners.ops);
    eventually(START, "readiness", || async { (ops.get("/readyz").await.status == 200).then_some(()) }).await;
}

async fn wait_for(within: Duration, child: &mut Child) -> std::process::ExitStatus {
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
