#!/usr/bin/env python3
"""Measures the record path: requests at a fixed rate through a data plane and a control plane, their records over NATS
into a PostgreSQL with few connections, which is stopped for the second third of the load.

Prints what latency requests had before, during and after the outage, and whether everything arrived. Exit code 1:
something failed, was lost, or came twice; 2: something that is needed is missing.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import audit
import engines
import gateways
import harness
import run as bench
import scenarios
from harness import OUT, RUN, BenchError

# Of the server, three of them the superuser's.
CONNECTIONS = 20
PHASES = ["before", "during", "after"]
WARM_UP_S = 3
# A machine that answers a smaller share of what is due does not carry the rate.
CARRIED = 0.98
# How long it may take until the last record has arrived.
ARRIVAL_S = 300
TAKEN = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'headgate'"
BOOKED = "SELECT (SELECT count(*) FROM usage.usage_records), (SELECT count(*) FROM budget.lease_spend)"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rps", type=int, default=2500, help="requests a second to the mock upstream (%(default)s)")
    parser.add_argument("--echo-rps", type=int, default=2500,
                        help="requests a second beside that the built-in echo model answers, which take less of the "
                        "machine for a record (%(default)s)")
    parser.add_argument("--seconds", type=int, default=20, help="of each third of the load (%(default)s)")
    parser.add_argument("--headgate", type=Path, metavar="FILE", help="measure this binary instead of building one")
    args = parser.parse_args()
    args.profile, args.gateways = None, ["planes"]
    return args


class Tables:
    """The PostgreSQL, which may be stopped and started again."""

    def __init__(self):
        self.postgres = engines.Postgres(CONNECTIONS)
        self.process, self.used_s, self.most_taken = None, 0.0, 0
        self.ended = threading.Event()
        self.watcher = threading.Thread(target=self.watch, daemon=True)

    def start(self):
        self.process = harness.spawn(self.postgres.command, RUN / "postgres.log")

    def stop(self):
        """As an operator does who does not wait for clients."""
        self.used_s = self.cpu_seconds()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self.process = None

    def cpu_seconds(self):
        return self.used_s + harness.cpu_seconds(self.process, engines=True)

    def watch(self):
        """Notes how many connections are taken."""
        while not self.ended.wait(2):
            try:
                self.most_taken = max(self.most_taken, int(self.postgres.sql(TAKEN)[0]))
            except BenchError:
                # It is away, or still starting.
                continue

    def close(self):
        self.ended.set()
        if self.watcher.is_alive():
            self.watcher.join(10)
        if self.process:
            self.stop()
        self.postgres.remove()


def measure(args):
    mock_port, mock_log = harness.free_port(), RUN / "mock-upstream.log"
    mock = harness.spawn([harness.TOOLS / "mock-upstream", "--port", mock_port], mock_log)
    tables, process = Tables(), None
    try:
        harness.wait_ready(mock, f"http://127.0.0.1:{mock_port}/stats", mock_log)
        tables.start()
        tables.postgres.wait()
        gateway = gateways.fleet("records", mock_port, gateways.PLANES, tables.postgres)
        _, process = scenarios.start(gateway)
        tables.watcher.start()
        loads(args, gateway, WARM_UP_S)
        idle_mib = harness.pss_mib(process)
        cpu, engines_cpu = harness.cpu_seconds(process), nats_and(tables, process)
        phases = {}
        for phase in PHASES:
            {"before": lambda: None, "during": tables.stop, "after": tables.start}[phase]()
            phases[phase] = loads(args, gateway, args.seconds)
        arrived_s = until_arrived(gateway, tables.postgres)
        cpu, engines_cpu = harness.cpu_seconds(process) - cpu, nats_and(tables, process) - engines_cpu
        usage, budget = map(int, tables.postgres.sql(BOOKED))
        return {"phases": phases, "arrived_s": arrived_s, "own": gateway.counts(), "usage_rows": usage,
                "budget_rows": budget, "cpu_s": cpu, "engines_cpu_s": engines_cpu, "idle_mib": idle_mib,
                "loaded_mib": harness.pss_mib(process), "most_connections": tables.most_taken}
    finally:
        harness.stop(process)
        harness.stop(mock)
        tables.close()


def nats_and(tables, process):
    return harness.cpu_seconds(process, engines=True) + tables.cpu_seconds()


def loads(args, gateway, seconds):
    """Both kinds of requests at once."""
    found, threads = {}, []
    for model, rps in [("mock-model", args.rps), ("echo", args.echo_rps)]:
        def work(model=model, rps=rps):
            flags = ["-c", 64, "-d", seconds, "--rps", rps, "--model", model, "--threads", 1]
            found[model] = scenarios.generate(gateway, flags)
        if rps:
            threads.append(threading.Thread(target=work))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) < len(threads):
        raise BenchError("a load generator failed")
    return found


def until_arrived(gateway, postgres):
    """Waits until every admitted request is booked by usage and budget, and tells how long that took."""
    begin = time.monotonic()
    while time.monotonic() - begin < ARRIVAL_S:
        try:
            rows = [int(count) for count in postgres.sql(BOOKED)]
            if min(rows) >= gateway.counts()["admitted"]:
                return time.monotonic() - begin
        except BenchError:
            pass  # It is still starting.
        time.sleep(0.5)
    return None


def faults(result):
    """Why the run does not count; empty when it does."""
    found, admitted = [], result["own"]["admitted"]
    for phase, loads in result["phases"].items():
        for model, load in loads.items():
            errors = load["http_errors"] + load["io_errors"]
            if errors:
                found.append(f"{phase}, {model}: {errors} errors, the first: {load['first_error']}")
    if result["arrived_s"] is None:
        found.append(f"not everything arrived within {ARRIVAL_S} s")
    if not admitted == result["usage_rows"] == result["budget_rows"]:
        found.append(f"{admitted} requests admitted, {result['usage_rows']} ledger rows, {result['budget_rows']} booked")
    if result["own"]["inexact"]:
        found.append(f"{result['own']['inexact']} ledger rows are estimated or no success")
    if result["most_connections"] > CONNECTIONS - 3:
        found.append(f"{result['most_connections']} connections were taken")
    return found


def markdown(result, facts):
    lines = [
        "## Record path", "",
        f"{facts['commit']}, {facts['at']}, {facts['cores']} cores ({facts['cpu']}). Load average before: "
        f"{facts['load_average_before']}, after: {round(os.getloadavg()[0], 2)}.", "",
        "| PostgreSQL away | model | requests/s asked | answered | errors | p50 ms | p90 ms | p99 ms | max ms |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    for phase, loads in result["phases"].items():
        for model, load in sorted(loads.items(), reverse=True):
            times = [f"{load['latency_us'][name] / 1000:.2f}" for name in ("p50", "p90", "p99", "max")]
            lines.append(f"| {phase} | {model} | {load['rps_asked']:.0f} | {load['rps']:.0f} | "
                         f"{load['http_errors'] + load['io_errors']} | {' | '.join(times)} |")
    loads = [load for loads in result["phases"].values() for load in loads.values()]
    if any(load["rps"] < CARRIED * load["rps_asked"] for load in loads):
        lines += ["", "**The machine did not carry the rate: these latencies are those of a queue that grew.**"]
    own, requests = result["own"], sum(load["ok"] for load in loads)
    arrived = "never" if result["arrived_s"] is None else f"{result['arrived_s']:.1f} s after the load"
    lines += [
        "", f"- {own['admitted']} requests admitted, {result['usage_rows']} ledger rows, {result['budget_rows']} booked "
        f"by budget; all of them {arrived}.",
        f"- CPU µs/request, until then: Headgate {result['cpu_s'] * 1e6 / requests:.0f}, PostgreSQL and NATS "
        f"{result['engines_cpu_s'] * 1e6 / requests:.0f}.",
        f"- Memory of Headgate's processes: {result['idle_mib']:.0f} MiB after the warm-up, {result['loaded_mib']:.0f} "
        "MiB at the end.",
        f"- At most {result['most_connections']} of PostgreSQL's {CONNECTIONS} connections were taken.", ""]
    return "\n".join(lines)


def main():
    args = arguments()
    try:
        with harness.alone():
            bench.check_and_build(args)
            facts = bench.about(args)
            result = measure(args)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    (OUT / "records.json").write_text(json.dumps({**facts, **result}, indent=1))
    text = markdown(result, facts)
    (OUT / "records.md").write_text(text)
    print(text)
    found = faults(result)
    for fault in found:
        print(f"bench: VOID: {fault}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
