//! A real NATS server with JetStream, as Debian ships it.
//!
//! Needs nothing of the rest of this crate, so that the chassis' own tests use the same file.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = "/usr/sbin/nats-server";
const START: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// A running server. Killed when dropped, and its folder removed.
pub struct Nats {
    child: Child,
    port: u16,
    settings: String,
    folder: TempDir,
}

impl Drop for Nats {
    fn drop(&mut self) {
        // It may have been killed already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Nats {
    /// Starts one on a free port and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same with further lines of its configuration.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    pub async fn start_with(settings: &str) -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: run tests/tools/install.sh, or `make test`"
        );
        let folder = tempfile::Builder::new().prefix("headgate-nats-").tempdir().expect("a temporary folder");
        let child = spawn(folder.path(), -1, settings);
        let mut nats = Self { child, port: 0, settings: settings.to_owned(), folder };
        let start = Instant::now();
        while nats.port == 0 {
            nats.assert_running(start);
            tokio::time::sleep(PAUSE).await;
            nats.port = announced_port(nats.folder.path()).unwrap_or(0);
        }
        nats.wait_until_it_answers(start).await;
        nats
    }

    /// Where it listens, as `nats.url` has it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Ends it as a crash would: SIGKILL.
    ///
    /// # Panics
    /// When it cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Starts it again, on the same port and store.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.child = spawn(self.folder.path(), self.port.into(), &self.settings);
        self.wait_until_it_answers(Instant::now()).await;
    }

    /// Stops it from doing anything, without ending it: connections stay, and nothing is answered.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// When it cannot be told.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let sent =
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill exists");
        assert!(sent.success(), "it runs");
    }

    /// Deletes its store, as a disk that failed would. To be called while it is down.
    ///
    /// # Panics
    /// When it cannot be deleted.
    pub fn forget(&self) {
        fs::remove_dir_all(self.folder.path().join("store")).expect("a store");
    }

    /// The CPU time it has used, in seconds.
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let times = stat.rsplit(')').next().unwrap_or("").split_whitespace().skip(11).take(2);
        times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }

    /// It listens only when its store is read back.
    async fn wait_until_it_answers(&mut self, start: Instant) {
        while !greets(self.port) {
            self.assert_running(start);
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn assert_running(&mut self, start: Instant) {
        let ended = self.child.try_wait().expect("a child can be waited for");
        if ended.is_some() || start.elapsed() > START {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("nats-server did not start ({ended:?}):\n{log}");
        }
    }
}

fn spawn(folder: &Path, port: i32, settings: &str) -> Child {
    let config = folder.join("nats.conf");
    let lines = format!(
        "listen: \"127.0.0.1:{port}\"\nports_file_dir: {folder:?}\njetstream {{ store_dir: {:?} }}\n{settings}\n",
        folder.join("store"),
    );
    fs::write(&config, lines).expect("a configuration file");
    let log = File::options().create(true).append(true).open(folder.join("log")).expect("a log file");
    Command::new(PROGRAM)
        .arg("-c")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("nats-server starts")
}

/// What it wrote to its file of ports.
fn announced_port(folder: &Path) -> Option<u16> {
    let mut files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let file = files.find(|path| path.extension().is_some_and(|extension| extension == "ports"))?;
    let ports: Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}

fn greets(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let patient = stream.set_read_timeout(Some(Duration::from_secs(1))).is_ok();
    let mut line = String::new();
    patient && BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
}
