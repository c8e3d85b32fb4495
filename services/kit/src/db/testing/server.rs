//! One PostgreSQL server for all tests of a process. It ends with the process, however that ends.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

/// Serves until its standard input ends. Everything it makes is removed then.
const SCRIPT: &str = r#"
set -eu
dir=$(mktemp -d)
trap 'pg_ctl -D "$dir/data" -m immediate stop >/dev/null 2>&1 || :; rm -rf "$dir"' EXIT
# A locale that compares as people do, as servers in the wild have it.
initdb -D "$dir/data" -U postgres --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8 \
  --locale-provider=icu --icu-locale=en-US >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
pg_ctl -D "$dir/data" -l "$dir/log" -w -o "-c listen_addresses='' -c unix_socket_directories='$dir' \
  -c max_connections=200 -c fsync=off -c full_page_writes=off -c synchronous_commit=off" start >/dev/null ||
  { cat "$dir/log" >&2; exit 1; }
echo "$dir"
cat >/dev/null
"#;

struct Server {
    /// Where its socket is.
    dir: String,
    /// Ends it, with the process.
    _until: ChildStdin,
    _child: Child,
    made: AtomicU64,
    /// Databases that no test needs any more.
    left: Mutex<Vec<String>>,
}

/// A database of one test.
#[derive(Debug)]
pub(super) struct Database {
    name: String,
}

impl Database {
    pub(super) async fn create() -> Self {
        let server = server();
        let mut conn = server.connect().await;
        let left = std::mem::take(&mut *server.left.lock());
        for name in left {
            run(&mut conn, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
        let name = format!("test_{}", server.made.fetch_add(1, Ordering::Relaxed));
        run(&mut conn, format!("CREATE DATABASE {name}")).await;
        conn.close().await.unwrap();
        Self { name }
    }

    pub(super) fn address(&self) -> SecretString {
        server().url(&self.name).into()
    }

    pub(super) async fn allow_connections(&self, allowed: bool) {
        let mut conn = server().connect().await;
        run(&mut conn, format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allowed}", self.name)).await;
        if !allowed {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
            sqlx::query(end).bind(&self.name).execute(&mut conn).await.unwrap();
        }
        conn.close().await.unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        server().left.lock().push(std::mem::take(&mut self.name));
    }
}

impl Server {
    fn start() -> Self {
        let path = format!("{}:/usr/sbin:/usr/bin:/bin", binaries().display());
        let mut command = if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            // PostgreSQL refuses to run as root.
            let mut command = Command::new("/usr/sbin/runuser");
            command.args(["-u", "postgres", "--", "sh", "-c", SCRIPT]);
            command
        } else {
            let mut command = Command::new("sh");
            command.args(["-c", SCRIPT]);
            command
        };
        command.env("PATH", path).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own: an interrupt from the keyboard must not hit it before it has tidied up.
        let mut child = command.process_group(0).spawn().expect("a shell for PostgreSQL");
        let mut dir = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut dir).unwrap();
        let dir = dir.trim_end().to_owned();
        assert!(!dir.is_empty(), "PostgreSQL did not start, see above");
        let _until = child.stdin.take().unwrap();
        Self { dir, _until, _child: child, made: AtomicU64::new(0), left: Mutex::default() }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.dir.replace('/', "%2F"))
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url("postgres")).await.unwrap()
    }
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::start)
}

/// The folder of the newest PostgreSQL that Debian's package installed.
fn binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let newest = folders.filter(|bin| bin.join("initdb").exists()).max();
    newest.unwrap_or_else(|| panic!("there is no PostgreSQL: run tests/tools/install.sh"))
}

async fn run(conn: &mut PgConnection, sql: String) {
    sqlx::query(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}
