//! A server's process: started, ended in every way a test wants, and started again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server has to obey, on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);

/// A process with its command line, for another start.
pub(super) struct Daemon {
    command: Vec<String>,
    log: PathBuf,
    /// What asks it to end in an orderly way at once, e.g. `TERM`.
    stop_signal: &'static str,
    child: Child,
}

impl Daemon {
    /// Starts `command`; what it prints is appended to `log`.
    pub(super) fn start(command: Vec<String>, log: PathBuf, stop_signal: &'static str) -> Self {
        let child = spawn(&command, &log);
        Self { command, log, stop_signal, child }
    }

    /// Ends it as a crash would.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to end and waits until it has.
    pub(super) fn stop(&mut self) {
        let signal = format!("-{}", self.stop_signal);
        let id = self.child.id().to_string();
        // As above.
        drop(Command::new("kill").args([&signal, &id]).stderr(Stdio::null()).status());
        let start = Instant::now();
        while self.is_running() && start.elapsed() < PATIENCE {
            std::thread::sleep(LOOK);
        }
        self.kill();
    }

    /// Starts it again with the same command line.
    pub(super) fn start_again(&mut self) {
        self.kill();
        self.child = spawn(&self.command, &self.log);
    }

    /// Whether the process is there.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// All that it printed.
    pub(super) fn all_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of what it printed.
    pub(super) fn log(&self) -> String {
        let text = self.all_log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Waits until `ready` says so.
    ///
    /// # Panics
    /// When the process ends instead, or nothing comes of it.
    pub(super) async fn wait_until(&mut self, what: &str, mut ready: impl FnMut() -> bool) {
        let start = Instant::now();
        while !ready() {
            assert!(self.is_running(), "{what} ended:\n{}", self.log());
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what}:\n{}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.is_running() {
            self.stop();
        }
    }
}

fn spawn(command: &[String], log: &Path) -> Child {
    let output = File::options().create(true).append(true).open(log).expect("a log file");
    let errors = output.try_clone().unwrap();
    let (program, arguments) = command.split_first().expect("a program");
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .unwrap_or_else(|e| panic!("{program} does not start: {e}"))
}

/// A program that `tests/tools/install.sh` installs.
///
/// # Panics
/// When it is in none of the folders.
pub(super) fn program(name: &str, folders: &[&str]) -> PathBuf {
    let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is missing: run tests/tools/install.sh, or `make test`"))
}

/// Where Debian's programs lie.
pub(super) const BIN: [&str; 3] = ["/usr/local/bin", "/usr/bin", "/usr/sbin"];

/// A folder that goes away with its handle.
pub(super) fn folder(prefix: &str) -> tempfile::TempDir {
    tempfile::Builder::new().prefix(prefix).tempdir().expect("a temporary folder")
}

/// Runs a program to its end and returns what it printed.
///
/// # Panics
/// When it fails; what it printed is shown.
pub(super) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{} does not start: {e}", command.get_program().display()));
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let printed = shown(&output.stdout);
    assert!(output.status.success(), "{command:?}: {}\n{printed}{}", output.status, shown(&output.stderr));
    printed
}
