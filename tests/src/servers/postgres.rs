//! A PostgreSQL of a test's own.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::daemon::{Daemon, folder, run};
use crate::ports::free_port;

const VERSIONS: &str = "/usr/lib/postgresql";
const USER: &str = "headgate";
/// In every URL, so that a test can look for it where no secret belongs.
pub const PASSWORD: &str = "postgres-secret-of-the-test";

/// A running server. Stopped when dropped, and its data removed.
pub struct Postgres {
    // Before the folder: the server ends first.
    daemon: Daemon,
    port: u16,
    databases: AtomicU32,
    _folder: TempDir,
}

/// A session that holds tables locked.
pub struct Lock(Child);

impl Drop for Lock {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Postgres {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start() -> Self {
        Self::start_with(100).await
    }

    /// Starts one that takes at most so many connections at a time; three of them are the superuser's.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start_with(max_connections: u16) -> Self {
        Self::launch(max_connections, None).await
    }

    /// Starts one that speaks TLS, too, with the certificate `tls.crt` and its key of a folder.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub async fn start_with_tls(certificates: &Path) -> Self {
        Self::launch(100, Some(certificates)).await
    }

    async fn launch(max_connections: u16, certificates: Option<&Path>) -> Self {
        let folder = folder("headgate-postgres-");
        let (data, password) = (folder.path().join("data"), folder.path().join("password"));
        std::fs::write(&password, PASSWORD).unwrap();
        let in_folder = |path: &PathBuf| path.to_str().expect("a UTF-8 path").to_owned();
        let mut tls = Vec::new();
        if let Some(certificates) = certificates {
            for (file, setting) in [("tls.crt", "ssl_cert_file"), ("tls.key", "ssl_key_file")] {
                let own = folder.path().join(file);
                std::fs::copy(certificates.join(file), &own).unwrap();
                std::fs::set_permissions(&own, Permissions::from_mode(0o600)).unwrap();
                tls.push(format!("{setting}={}", own.display()));
            }
            tls.push("ssl=on".to_owned());
        }
        own(&folder);
        // No `fsync`: what a killed process wrote is the kernel's, and stays.
        let mut initdb = unprivileged("initdb");
        initdb.extend(["-D".into(), in_folder(&data), "--pwfile".into(), in_folder(&password)]);
        initdb.extend(["-U", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale"].map(Into::into));
        initdb.push("--no-sync".into());
        run(Command::new(&initdb[0]).args(&initdb[1..]));
        let port = free_port();
        let mut command = unprivileged("postgres");
        command.extend(["-D".into(), in_folder(&data), "-p".into(), port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "fsync=off".to_owned(),
            format!("max_connections={max_connections}"),
        ]
        .into_iter()
        .chain(tls)
        {
            command.extend(["-c".to_owned(), setting]);
        }
        // SIGQUIT: at once, but shared memory is given back.
        let daemon = Daemon::start(command, folder.path().join("log"), "QUIT");
        let mut postgres = Self { daemon, port, databases: AtomicU32::new(0), _folder: folder };
        postgres.wait().await;
        postgres
    }

    /// The URL of a new, empty database.
    ///
    /// # Panics
    /// When the server is away.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// What a statement returns at a database: a line each row, columns separated by `|`.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, url: &str, statement: &str) -> String {
        let mut psql = Command::new(bin("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"]);
        run(psql.arg(url).args(["-c", statement])).trim_end().to_owned()
    }

    /// Keeps everybody from tables, until what is returned is dropped.
    ///
    /// # Panics
    /// When it fails.
    #[must_use]
    pub fn lock(&self, url: &str, tables: &str) -> Lock {
        let mut psql = Command::new(bin("psql"));
        psql.args(["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", url]);
        let mut session = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql starts");
        let statement = format!("BEGIN; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;\n\\echo locked\n");
        session.stdin.as_mut().expect("a pipe").write_all(statement.as_bytes()).expect("psql reads");
        let mut said = String::new();
        BufReader::new(session.stdout.as_mut().expect("a pipe")).read_line(&mut said).expect("psql answers");
        assert_eq!(said, "locked\n", "see what psql printed");
        Lock(session)
    }

    /// Everything that a database holds, as statements.
    ///
    /// # Panics
    /// When the server is away.
    pub fn dump(&self, url: &str) -> String {
        run(Command::new(bin("pg_dump")).arg(url))
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

    /// All that it printed, in every run.
    #[must_use]
    pub fn log(&self) -> String {
        self.daemon.all_log()
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    async fn wait(&mut self) {
        let (pg_isready, port) = (bin("pg_isready"), self.port.to_string());
        let answers = || {
            let mut ask = Command::new(&pg_isready);
            ask.args(["--quiet", "-h", "127.0.0.1", "-p", &port]).status().is_ok_and(|asked| asked.success())
        };
        // After a crash, processes of the one before may hold its memory for a moment; then it gives up at once.
        for _ in 0..50 {
            if answers() {
                return;
            }
            if self.daemon.is_running() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            self.daemon.start_again();
        }
        self.daemon.wait_until("PostgreSQL", answers).await;
    }
}

/// The newest version's program.
fn bin(name: &str) -> String {
    let versions = std::fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest =
        versions.map(|entry| entry.path()).filter(|p| p.join("bin/initdb").exists()).max_by_key(version);
    let newest = newest.expect("PostgreSQL is missing: run tests/tools/install.sh, or `make test`");
    newest.join("bin").join(name).to_str().expect("a UTF-8 path").to_owned()
}

/// The start of a command line: PostgreSQL refuses to be root.
fn unprivileged(name: &str) -> Vec<String> {
    let as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"];
    let before = if is_root() { as_postgres.map(str::to_owned).to_vec() } else { Vec::new() };
    before.into_iter().chain([bin(name)]).collect()
}

/// Gives the folder to whom the server runs as.
fn own(folder: &TempDir) {
    if is_root() {
        run(Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder.path()));
    }
}

fn is_root() -> bool {
    run(Command::new("id").arg("-u")).trim() == "0"
}
