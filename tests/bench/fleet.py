#!/usr/bin/env python3
"""Runs the processes of one gateway as one tree, until it is told to stop or one of them ends.

The file it is given holds a list of commands, in the order in which they are started.
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path


def main():
    commands = json.loads(Path(sys.argv[1]).read_text())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    processes = [subprocess.Popen(command) for command in commands]
    try:
        while all(process.poll() is None for process in processes):
            # Seldom: what this costs counts.
            time.sleep(0.5)
        return 1
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    sys.exit(main())
