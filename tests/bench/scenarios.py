"""The reference work, and how one gateway is measured at it."""

import json
import resource
import subprocess
import time

import audit
import harness
import profiler
from harness import RUN, TOOLS, BenchError

# Flags of the load generator, and seconds of load: in full, and in a quick run.
WORK = {
    "A": (["-c", 32, "--warmup", 1], 15, 3),  # small chat, closed loop
    "F": (["-c", 16, "--prompt-bytes", 65536], 4, 2),  # prompt of 64 KiB, closed loop
    "B": (["-c", 64, "--rps", 200, "--warmup", 1], 6, 3),  # small chat, open loop
    "C": (["-c", 64, "--stream", "--include-usage"], 6, 3),  # 64 streams of 100 chunks, 10 ms apart
}


def measure(make_gateway, quick, profile):
    """Measures a gateway, with a mock of its own, at all work. `profile` has perf watch A."""
    mock_port = harness.free_port()
    mock_log = RUN / "mock-upstream.log"
    mock = harness.spawn([TOOLS / "mock-upstream", "--port", mock_port], mock_log)
    process, gateway = None, None
    try:
        harness.wait_ready(mock, f"http://127.0.0.1:{mock_port}/stats", mock_log)
        gateway = make_gateway(mock_port)
        row, process = start(gateway)
        harness.drain(process)
        row["idle_mib"] = harness.pss_mib(process)
        row["work"] = {}
        for name, (flags, full_s, quick_s) in WORK.items():
            flags = [*flags, "-d", quick_s if quick else full_s]
            with profiler.watching(process if profile and name == "A" else None):
                row["work"][name] = run(gateway, process, mock, mock_port, flags)
        row["loaded_mib"] = harness.pss_mib(process)
        return row
    finally:
        harness.stop(process)
        harness.stop(mock)
        if gateway and gateway.clean_up:
            gateway.clean_up()


def start(gateway):
    """Starts it, and checks that it answers. Also tells how long it took to become ready."""
    process, begin = None, time.monotonic()
    if gateway.command:
        process = harness.spawn(gateway.command, gateway.log)
    try:
        if process:
            for url in gateway.ready_urls:
                harness.wait_ready(process, url, gateway.log)
        row = {"ready_ms": (time.monotonic() - begin) * 1000 if process else None}
        body = json.dumps({"model": "mock-model", "messages": [{"role": "user", "content": "hello"}]}).encode()
        status, answer = harness.http(gateway.url, body, gateway.headers)
        if status != 200 or b"quick brown fox" not in answer:
            raise BenchError(f"it answers {status} {answer[:500]!r}")
        return row, process
    except BaseException:
        harness.stop(process)
        raise


def run(gateway, process, mock, mock_port, flags):
    """One piece of work. CPU is read when the gateway is idle again; counts are read outside of that."""
    own_before = gateway.counts() if gateway.counts else None
    upstream_before = stats(mock_port)
    # The load's warm-up is in all of these differences, so that they fit each other.
    cpu, mock_cpu, load_cpu = harness.cpu_seconds(process), harness.cpu_seconds(mock), children_cpu_seconds()
    engines_cpu = harness.cpu_seconds(process, engines=True)
    load = generate(gateway, flags)
    load_cpu = children_cpu_seconds() - load_cpu
    became_idle = harness.drain(process)
    cpu, mock_cpu = harness.cpu_seconds(process) - cpu, harness.cpu_seconds(mock) - mock_cpu
    engines_cpu = harness.cpu_seconds(process, engines=True) - engines_cpu
    upstream = audit.difference(stats(mock_port), upstream_before)
    own = audit.difference(gateway.counts(), own_before) if gateway.counts else None
    faults = audit.faults(load, upstream, own)
    if not became_idle:
        faults.append("the gateway did not become idle after the load")
    return {"load": load, "upstream": upstream, "own": own, "cpu_s": round(cpu, 2),
            "engines_cpu_s": round(engines_cpu, 2), "mock_cpu_s": round(mock_cpu, 2),
            "load_cpu_s": round(load_cpu, 2), "faults": faults}


def generate(gateway, flags):
    command = [TOOLS / "loadgen", "--url", gateway.url, *flags]
    for header in gateway.headers:
        command += ["-H", header]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=240)
    if done.returncode:
        raise BenchError(f"the load generator failed: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def stats(mock_port):
    return json.loads(harness.http(f"http://127.0.0.1:{mock_port}/stats")[1])


def children_cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
