"""Where a gateway's CPU time goes, by Linux perf."""

import contextlib
import shutil
import signal
import subprocess

from harness import OUT, RUN, BenchError, drain, tree

REPORT = OUT / "profile.txt"


def check():
    if shutil.which("perf") is None:
        raise BenchError("perf is not installed (Debian: linux-perf)")


@contextlib.contextmanager
def watching(process):
    """Samples the process's tree until the end, and writes REPORT. None: does nothing."""
    if process is None:
        yield
        return
    data = RUN / "perf.data"
    pids = ",".join(map(str, tree(process.pid)))
    command = ["perf", "record", "-F", "499", "-g", "-o", str(data), "-p", pids]
    with open(RUN / "perf.log", "w") as log:
        perf = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield
            drain(process)
        finally:
            perf.send_signal(signal.SIGINT)
            perf.wait()
        with open(REPORT, "w") as report:
            subprocess.run(["perf", "report", "-i", str(data), "--stdio", "--no-children", "-g", "none",
                            "--percent-limit", "0.3"], stdout=report, stderr=log, check=False)
