//! The Docker engine: the one that runs here, else one of the tests' own.

use std::fs::File;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio::sync::Mutex;

use super::daemon::{BIN, Daemon, folder, program, run};

/// One engine serves every test of the process; a second one would take the first one's network away.
static SHARED: Mutex<Shared> = Mutex::const_new(Shared { users: 0, own: None });

struct Shared {
    users: usize,
    own: Option<Own>,
}

/// An engine that the tests started.
struct Own {
    // Before the folder: the engine's layers are mounted there until it has ended.
    _daemon: Daemon,
    socket: String,
    _folder: TempDir,
    /// Held against other test processes of this machine.
    _lock: File,
}

/// The engine, for as long as this lives. One that the tests started is stopped with its last handle, and its data
/// removed.
pub struct Engine {
    /// Unset: the client's own idea of where the engine is.
    socket: Option<String>,
}

impl Engine {
    /// Finds or starts the engine.
    ///
    /// # Panics
    /// When there is none and none can be started: that takes root.
    pub async fn start() -> Self {
        let mut shared = SHARED.lock().await;
        if shared.own.is_none() && answers(None) {
            return Self { socket: None };
        }
        if shared.own.is_none() {
            shared.own = Some(Own::start().await);
        }
        shared.users += 1;
        Self { socket: shared.own.as_ref().map(|own| own.socket.clone()) }
    }

    /// A command line of the client that speaks to this engine.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut docker = self.tell(Command::new(program("docker", &BIN)));
        docker.args(arguments);
        docker
    }

    /// A command that runs the client by itself, and now with this engine.
    #[must_use]
    pub fn tell(&self, command: Command) -> Command {
        told(command, self.socket.as_deref())
    }

    /// Where it is, if not where the client looks.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.socket.as_deref()
    }

    /// What the client prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments)).trim_end().to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.socket.is_none() {
            return;
        }
        // A test's runtime must not be blocked on, so another thread waits for the lock and the engine's end.
        let stopped = std::thread::spawn(|| {
            let mut shared = SHARED.blocking_lock();
            shared.users -= 1;
            if shared.users == 0 {
                shared.own = None;
            }
        });
        assert!(stopped.join().is_ok() || std::thread::panicking(), "the engine was not stopped");
    }
}

impl Own {
    async fn start() -> Self {
        let lock = tokio::task::spawn_blocking(lock).await.expect("the lock");
        let folder = folder("headgate-docker-");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let socket = format!("unix://{}", at("socket"));
        let dockerd = program("dockerd", &BIN).display().to_string();
        let mut command = vec![dockerd, "-H".to_owned(), socket.clone()];
        for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.extend([option.to_owned(), at(name)]);
        }
        let mut daemon = Daemon::start(command, folder.path().join("log"), "TERM");
        daemon.wait_until("the Docker engine (which takes root)", || answers(Some(&socket))).await;
        Self { _daemon: daemon, socket, _folder: folder, _lock: lock }
    }
}

fn answers(socket: Option<&str>) -> bool {
    let mut ask = told(Command::new(program("docker", &BIN)), socket);
    ask.args(["version", "--format", "{{.Server.Version}}"]).stdin(Stdio::null());
    ask.output().is_ok_and(|answer| answer.status.success())
}

fn told(mut command: Command, socket: Option<&str>) -> Command {
    if let Some(socket) = socket {
        command.env("DOCKER_HOST", socket);
    }
    command
}

fn lock() -> File {
    let file = File::create(std::env::temp_dir().join("headgate-tests-docker.lock")).expect("a lock file");
    file.lock().expect("a lock");
    file
}
