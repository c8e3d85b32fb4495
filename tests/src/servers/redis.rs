//! A Redis of a test's own, alone or as a cluster of three.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::daemon::{BIN, Daemon, folder, program, run};
use crate::ports::free_port;
use crate::wait::eventually;

/// How long three nodes may take to agree.
const AGREEMENT: Duration = Duration::from_secs(60);

/// A running server. Stopped when dropped, and its data removed.
pub struct Redis {
    // Before the folder: the server ends first.
    daemon: Daemon,
    port: u16,
    _folder: TempDir,
}

/// What a restart finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// Nothing: all is in memory.
    None,
    /// Everything that was acknowledged.
    EveryWrite,
}

impl Redis {
    /// Starts one that forgets everything when it ends, and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start() -> Self {
        Self::start_with(Persistence::None).await
    }

    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start_with(persistence: Persistence) -> Self {
        let append = if persistence == Persistence::None { "no" } else { "yes" };
        Self::launch(&["--appendonly", append, "--appendfsync", "always"]).await
    }

    /// Starts one with the certificate `tls.crt`, its key and `ca.crt` of a folder, and tells the URL over TLS, which
    /// stands beside the one in clear text.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start_with_tls(certificates: &Path) -> (Self, String) {
        let file = |name| certificates.join(name).to_str().expect("a UTF-8 path").to_owned();
        let (port, certificate, key, ca) =
            (free_port().to_string(), file("tls.crt"), file("tls.key"), file("ca.crt"));
        let files = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        let options = [&["--tls-port", &port, "--tls-auth-clients", "no"], &files[..]].concat();
        (Self::launch(&options).await, format!("rediss://127.0.0.1:{port}"))
    }

    async fn launch(options: &[&str]) -> Self {
        let folder = folder("headgate-redis-");
        let port = free_port();
        let mut redis = Self { daemon: spawn(folder.path(), port, options), port, _folder: folder };
        redis.wait().await;
        redis
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What a command returns, as `redis-cli` shows it.
    ///
    /// # Panics
    /// When the server is away or answers with an error.
    pub fn command(&self, command: &[&str]) -> String {
        run(cli(self.port).arg("-e").args(command)).trim_end().to_owned()
    }

    /// Ends it as a crash would: SIGKILL, nothing is flushed.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again, on the same port and data, and waits until it answers.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn restart(&mut self) {
        if self.daemon.is_running() {
            self.daemon.stop();
        }
        self.daemon.start_again();
        self.wait().await;
    }

    async fn wait(&mut self) {
        let port = self.port;
        let answers = || {
            let asked = cli(port).arg("ping").stderr(Stdio::null()).output();
            asked.is_ok_and(|answer| answer.stdout.starts_with(b"PONG"))
        };
        self.daemon.wait_until("Redis", answers).await;
    }
}

/// Three nodes that share the slots, without replicas.
pub struct RedisCluster {
    /// Each can be killed and restarted by itself.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts the nodes, joins them, and waits until each finds the cluster whole.
    ///
    /// # Panics
    /// When it is not installed, or does not come together.
    pub async fn start() -> Self {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            // One that is away is noticed within a second.
            let options =
                ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "1000"];
            nodes.push(Redis::launch(&options).await);
        }
        let mut create = cli(nodes[0].port);
        create.args(["--cluster", "create"]).args(nodes.iter().map(Redis::address)).arg("--cluster-yes");
        run(&mut create);
        let cluster = Self { nodes };
        cluster.wait_until_whole().await;
        cluster
    }

    /// The nodes' URLs.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Redis::url).collect()
    }

    /// Waits until every node serves every slot's owner.
    ///
    /// # Panics
    /// When that does not happen.
    pub async fn wait_until_whole(&self) {
        eventually(AGREEMENT, "the Redis cluster", || async {
            let whole = |node: &Redis| node.command(&["cluster", "info"]).contains("cluster_state:ok");
            self.nodes.iter().all(whole).then_some(())
        })
        .await;
    }
}

fn spawn(folder: &Path, port: u16, options: &[&str]) -> Daemon {
    let server = program("redis-server", &BIN);
    let mut command = vec![server.to_str().expect("a UTF-8 path").to_owned()];
    command.extend(["--port".into(), port.to_string(), "--dir".into(), folder.display().to_string()]);
    command.extend(["--bind", "127.0.0.1", "--save", ""].map(str::to_owned));
    command.extend(options.iter().map(|&option| option.to_owned()));
    Daemon::start(command, folder.join("log"), "TERM")
}

fn cli(port: u16) -> Command {
    let mut cli = Command::new(program("redis-cli", &BIN));
    cli.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
    cli
}
