//! Real Redis servers for tests: on free ports, in folders of their own, gone when the test process is.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;
use tempfile::TempDir;

use crate::RedisConfig;

const SERVER: &str = "/usr/bin/redis-server";
const CLIENT: &str = "/usr/bin/redis-cli";
const PATIENCE: Duration = Duration::from_secs(20);
/// How many tests may have a database of their own.
const DATABASES: u16 = 1000;

/// One server.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    dir: TempDir,
    extra: Vec<String>,
    guardian: Child,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    pub(crate) fn start(extra: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let extra: Vec<String> = extra.iter().map(|&word| word.to_owned()).collect();
        let port = free_port();
        let guardian = spawn(port, &dir, &extra);
        Self { port, dir, extra, guardian }
    }

    /// Ends the server as `kill -9` does, with everything it knew.
    pub(crate) fn kill(&mut self) {
        // The guardian kills the server when its standard input ends.
        drop(self.guardian.stdin.take());
        self.guardian.wait().unwrap();
    }

    /// Starts it again on the same port, knowing nothing.
    pub(crate) fn restart(&mut self) {
        self.guardian = spawn(self.port, &self.dir, &self.extra);
    }

    /// What it would write to disk now.
    pub(crate) fn copy(&self) -> Vec<u8> {
        assert_eq!(self.run(&["save"]).trim(), "OK");
        std::fs::read(self.dir.path().join("dump.rdb")).unwrap()
    }

    /// Starts it again on the same port, knowing what a copy says.
    pub(crate) fn restart_from(&mut self, copy: &[u8]) {
        std::fs::create_dir_all(self.dir.path()).unwrap();
        std::fs::write(self.dir.path().join("dump.rdb"), copy).unwrap();
        self.restart();
    }

    /// Sends it a command by its own client and returns what it says.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        client(&[&["-p", &self.port.to_string()], words].concat())
    }

    /// Its address, with database 0.
    pub(crate) fn config(&self) -> RedisConfig {
        config(format!("redis://127.0.0.1:{}/0", self.port), false)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn config(url: String, cluster: bool) -> RedisConfig {
    // Long, for busy machines.
    RedisConfig { url: Some(url.into()), cluster, response_timeout_ms: 10_000, ..RedisConfig::default() }
}

/// The server that all tests of this process share, and its database 0, where everybody names things differently.
pub(crate) fn common() -> RedisConfig {
    database(0)
}

/// An empty database of that server.
pub(crate) fn own_database() -> RedisConfig {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    database(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn database(number: u16) -> RedisConfig {
    static ONE: OnceLock<RedisServer> = OnceLock::new();
    assert!(number < DATABASES);
    let one = ONE.get_or_init(|| RedisServer::start(&["--databases", &DATABASES.to_string()]));
    config(format!("redis://127.0.0.1:{}/{number}", one.port), false)
}

/// A cluster of three nodes that all tests of this process share.
pub(crate) fn cluster() -> RedisConfig {
    static THREE: OnceLock<[RedisServer; 3]> = OnceLock::new();
    let nodes = THREE.get_or_init(|| {
        let nodes = [0, 1, 2].map(|_| {
            let bus = free_port().to_string();
            RedisServer::start(&["--cluster-enabled", "yes", "--cluster-port", &bus])
        });
        let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let mut create = vec!["--cluster", "create"];
        create.extend(addresses.iter().map(String::as_str));
        create.push("--cluster-yes");
        client(&create);
        for node in &nodes {
            until(|| node.run(&["cluster", "info"]).contains("cluster_state:ok"));
        }
        nodes
    });
    let urls: Vec<String> = nodes.iter().map(|node| format!("redis://127.0.0.1:{}", node.port)).collect();
    config(urls.join(","), true)
}

/// Sends a command to every server that a configuration names.
pub(crate) fn run_everywhere(config: &RedisConfig, words: &[&str]) {
    let urls = config.url.as_ref().unwrap().expose_secret();
    for url in urls.split(',') {
        client(&[&["-u", url], words].concat());
    }
}

fn spawn(port: u16, dir: &TempDir, extra: &[String]) -> Child {
    // The server must not outlive the test process, however that ends: the pipe to the guardian ends with it.
    let script = r#""$@" >server.log 2>&1 & server=$!; cat >/dev/null; kill -9 $server; wait $server 2>/dev/null; rm -rf "$PWD""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "guardian", SERVER, "--port", &port.to_string()]);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--loglevel", "warning"]);
    std::fs::create_dir_all(dir.path()).unwrap();
    command.args(extra).current_dir(dir.path()).stdin(Stdio::piped()).stderr(Stdio::null());
    assert!(std::path::Path::new(SERVER).exists(), "{SERVER} is missing: tests/tools/install.sh installs it");
    let mut guardian = command.spawn().unwrap();
    guardian.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    until(|| TcpStream::connect(address).is_ok());
    until(|| client(&["-p", &port.to_string(), "ping"]).contains("PONG"));
    guardian
}

fn client(words: &[&str]) -> String {
    let output = Command::new(CLIENT).args(words).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn until(mut reached: impl FnMut() -> bool) {
    let since = Instant::now();
    while !reached() {
        assert!(since.elapsed() < PATIENCE, "a server did not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
}
