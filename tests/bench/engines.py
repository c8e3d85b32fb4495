"""The servers that several processes stand on, as Debian installs them: PostgreSQL, Redis and NATS."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from harness import BenchError, free_port

FOLDERS = "/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin"
VERSIONS = Path("/usr/lib/postgresql")
# The role that Debian's package makes: PostgreSQL refuses to run as root.
UNPRIVILEGED = "postgres"


def nats(port, folder):
    """The command of a NATS server with JetStream."""
    return [program("nats-server"), "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]


def redis(port, folder):
    """The command of a Redis that keeps nothing on disk."""
    return [program("redis-server"), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder),
            "--save", "", "--appendonly", "no"]


class Postgres:
    """A PostgreSQL as it comes, in a folder of its own; fsync is on."""

    def __init__(self, max_connections=100):
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="headgate-bench-"))
        if os.getuid() == 0:
            role = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.folder, role.pw_uid, role.pw_gid)
        data = str(self.folder / "data")
        # Reached over loopback only, and by this benchmark only.
        run(own("initdb", "-D", data, "-U", "headgate", "--auth=trust", "--encoding=UTF8", "--no-locale"))
        self.command = own("postgres", "-D", data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1",
                           "-c", "unix_socket_directories=", "-c", f"max_connections={max_connections}")
        self.url = f"postgres://headgate@127.0.0.1:{self.port}/postgres"

    def sql(self, statement):
        """The columns of the only row, as text."""
        command = [newest() / "psql", "--no-psqlrc", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1",
                   self.url, "-c", statement]
        return run(command).strip().split("|")

    def wait(self, at_most_s=30):
        """Waits until it answers."""
        ask = [str(newest() / "pg_isready"), "--quiet", "-h", "127.0.0.1", "-p", str(self.port)]
        end = time.monotonic() + at_most_s
        while subprocess.run(ask).returncode:
            if time.monotonic() > end:
                raise BenchError("PostgreSQL does not answer")
            time.sleep(0.05)

    def remove(self):
        """Once it is stopped."""
        shutil.rmtree(self.folder, ignore_errors=True)


def own(name, *arguments):
    """A command of PostgreSQL's, as somebody else where this is root."""
    before = []
    if os.getuid() == 0:
        before = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--init-groups"]
    return [*before, str(newest() / name), *arguments]


def newest():
    """The folder of the newest PostgreSQL's programs."""
    found = [folder for folder in VERSIONS.glob("*/bin") if (folder / "initdb").exists()]
    if not found:
        raise missing("PostgreSQL")
    return max(found, key=lambda folder: int(folder.parent.name))


def program(name):
    found = shutil.which(name, path=FOLDERS)
    if found is None:
        raise missing(name)
    return found


def missing(name):
    return BenchError(f"{name} is not installed; tests/tools/install.sh installs it")


def run(command):
    command = [str(part) for part in command]
    # A folder that the unprivileged role may be in.
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/")
    if done.returncode:
        raise BenchError(f"{Path(command[0]).name} failed: {done.stderr[-500:]}")
    return done.stdout
