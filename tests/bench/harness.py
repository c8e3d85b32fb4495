"""Processes, their readings in /proc, and plain HTTP."""

import contextlib
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "target/bench"
RUN = OUT / "run"
TOOLS = ROOT / "target/bench-tools/release"

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Two readings this far apart without work in between: idle for a second.
IDLE_STEP_S = 0.5
# A gateway has timers. What they cost in a step is less than this, the resolution of the readings.
IDLE_CPU_S = 0.01


class BenchError(Exception):
    """Something that keeps a measurement from being made."""


@contextlib.contextmanager
def alone():
    """Nothing else is measured meanwhile, and what was started is stopped when this process is told to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    RUN.mkdir(parents=True, exist_ok=True)
    with open(OUT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def spawn(command, log):
    """Starts a program below RUN, without the proxies and Headgate settings of whoever runs the benchmark."""
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith("HEADGATE__")}
    with open(log, "w") as output:
        return subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=env, cwd=RUN)


def stop(process):
    """SIGTERM, and SIGKILL for whatever of the tree is left after a while."""
    if process is None or process.poll() is not None:
        return
    pids = tree(process.pid)
    process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        pass
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def tree(pid):
    """`pid` and all its descendants."""
    children = {}
    for entry in os.listdir("/proc"):
        stat = stat_fields(entry) if entry.isdigit() else None
        if stat:
            children.setdefault(int(stat[1]), []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children.get(pid, [])
    return found


def stat_fields(pid):
    """The fields of /proc/PID/stat after the command's name, or None when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None


# Programs that Headgate stands on. What they use is told beside.
ENGINES = ("nats-server", "redis-server", "postgres")


def is_engine(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip() in ENGINES
    except OSError:
        return False


def cpu_seconds(process, engines=False):
    """User and system time of the whole process tree but for engines, or of the engines in it; 10 ms fine. No process
    has used none."""
    if process is None:
        return 0.0
    pids = [pid for pid in tree(process.pid) if is_engine(pid) == engines]
    stats = filter(None, map(stat_fields, pids))
    # utime, stime, and both of children that have ended.
    return sum(int(ticks) for stat in stats for ticks in stat[11:15]) / TICKS_PER_SECOND


def drain(process, at_most_s=60):
    """Waits until the tree was idle for a second, so that deferred work counts. False when it never was."""
    # Processes that keep an eye on each other are never quite idle.
    idle = IDLE_CPU_S * max(1, len(tree(process.pid)) - 1 if process else 1)
    end, quiet, last = time.monotonic() + at_most_s, 0, cpu_seconds(process)
    while process is not None and quiet < 2:
        if time.monotonic() > end:
            return False
        time.sleep(IDLE_STEP_S)
        now = cpu_seconds(process)
        quiet, last = (quiet + 1 if now - last <= idle else 0), now
    return True


def pss_mib(process):
    """Proportional set size of the tree: pages that are shared count once. None for no process."""
    if process is None:
        return None
    kib = 0
    for pid in filter(lambda pid: not is_engine(pid), tree(process.pid)):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        pss = re.search(r"^Pss:\s+(\d+)", rollup, re.M)
        kib += int(pss.group(1)) if pss else 0
    return kib / 1024


def http(url, body=None, headers=()):
    """(status, body); statuses of errors are answers too. OSError when there is none."""
    request = urllib.request.Request(url, data=body, headers=dict(h.split(": ", 1) for h in headers))
    if body is not None:
        request.add_header("content-type", "application/json")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def wait_ready(process, url, log, at_most_s=30):
    """Waits until `url` answers 200."""
    end, last = time.monotonic() + at_most_s, "no answer"
    while time.monotonic() < end:
        if process.poll() is not None:
            raise BenchError(f"it ended with {process.returncode}: {tail(log)}")
        try:
            status, body = http(url)
            if status == 200:
                return
            last = f"{status} {body[:200]!r}"
        except OSError as error:
            last = error
        time.sleep(0.002)
    raise BenchError(f"not ready after {at_most_s} s, {url} says: {last}; log: {tail(log)}")


def tail(log):
    return Path(log).read_text(errors="replace")[-1500:].strip() or "(an empty log)"
