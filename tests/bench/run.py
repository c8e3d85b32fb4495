#!/usr/bin/env python3
"""Measures Headgate with everything switched on, next to nginx and to no gateway at all, on this machine.

Builds what it needs, runs the gateways in turns, one at a time, prints a Markdown report and leaves it in
target/bench/report.md, with all readings in target/bench/results.json. Exit code 1: a run was void; 2: something
that is needed is missing.
"""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import gateways
import harness
import profiler
import report
import scenarios
from harness import OUT, ROOT, BenchError


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="turns of each gateway (3; quick: 1)")
    parser.add_argument("--quick", action="store_true", help="a few seconds a piece of work: to try, not to quote")
    parser.add_argument("--gateways", default=",".join(gateways.USUAL),
                        help=f"those to run (%(default)s), of {', '.join(gateways.ALL)}")
    parser.add_argument("--engines", action="store_true",
                        help="also several processes on PostgreSQL, Redis and NATS: " + ", ".join(gateways.ON_ENGINES))
    parser.add_argument("--profile", nargs="?", const="headgate", metavar="GATEWAY",
                        help=f"have perf watch a gateway (headgate) at A; writes {profiler.REPORT.relative_to(ROOT)}")
    parser.add_argument("--headgate", type=Path, metavar="FILE", help="measure this binary instead of building one")
    parser.add_argument("--out", type=Path, default=OUT / "results.json", help="where the readings go")
    args = parser.parse_args()
    args.gateways = args.gateways.split(",") + (gateways.ON_ENGINES if args.engines else [])
    unknown = set(args.gateways) - set(gateways.ALL)
    if unknown:
        parser.error(f"unknown gateways: {', '.join(sorted(unknown))}")
    args.rounds = args.rounds or (1 if args.quick else 3)
    return args


def check_and_build(args):
    if "nginx" in args.gateways:
        gateways.nginx_program()
    if args.profile:
        profiler.check()
    build(["cargo", "build", "--locked", "--release"], ROOT / "tests/bench/tools")
    if args.headgate:
        if not args.headgate.is_file():
            raise BenchError(f"there is no {args.headgate}")
        gateways.HEADGATE = args.headgate.resolve()
    elif set(gateways.OURS) & set(args.gateways):
        build(["cargo", "build", "--locked", "--profile", "dist", "-p", "headgate"], ROOT)


def build(command, folder):
    # Both have their own place to build to; one place for all would mix them.
    env = {k: v for k, v in os.environ.items() if k != "CARGO_TARGET_DIR"}
    if subprocess.run(command, cwd=folder, env=env).returncode:
        raise BenchError(f"`{' '.join(command)}` failed in {folder}")


def run_rounds(args):
    """Every gateway once a round, so that a slow minute of the machine hits all of them alike."""
    rows = []
    for number in range(1, args.rounds + 1):
        for name in args.gateways:
            begin = time.monotonic()
            try:
                row = scenarios.measure(gateways.ALL[name], args.quick, name == args.profile)
            except (BenchError, OSError, subprocess.SubprocessError) as error:
                # The others are still worth measuring; the run fails in the end.
                row = {"error": str(error)}
            row.update(gateway=name, round=number, took_s=round(time.monotonic() - begin, 1))
            rows.append(row)
            print(f"bench: round {number}, {name}: {row.get('error', 'done')} ({row['took_s']} s)", file=sys.stderr)
            yield rows


def about(args):
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {
        "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip() or "unknown",
        "cpu": cpu.group(1) if cpu else platform.machine(), "cores": os.cpu_count(),
        "kernel": platform.release(), "load_average_before": round(os.getloadavg()[0], 2),
        "quick": getattr(args, "quick", False), "profiled": args.profile,
    }


def heading(facts, rounds):
    notes = []
    if facts["quick"]:
        notes.append("**Quick run: to see that it works, not to quote.**")
    if facts["profiled"]:
        notes.append(f"**perf watched {facts['profiled']} at A: its A costs more than it would alone.**")
    if facts["load_average_before"] > 0.5:
        notes.append(f"**The machine was busy before the run (load {facts['load_average_before']}).**")
    text = (f"{facts['commit']}, {facts['at']}, {facts['cores']} cores ({facts['cpu']}), Linux {facts['kernel']}, "
            f"{rounds} {'round' if rounds == 1 else 'rounds'}. Median [lowest to highest].")
    return "\n\n".join(["## Benchmark", text, *notes])


def run(args):
    check_and_build(args)
    facts, rows = about(args), []
    for rows in run_rounds(args):
        args.out.write_text(json.dumps({**facts, "rows": rows}, indent=1))
    text = report.markdown(rows, heading(facts, args.rounds))
    (OUT / "report.md").write_text(text)
    print(text)
    faults = report.faults(rows)
    if faults:
        print(f"bench: VOID ({len(faults)}); see the end of the report", file=sys.stderr)
    return 1 if faults else 0


def main():
    args = arguments()
    try:
        with harness.alone():
            return run(args)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
