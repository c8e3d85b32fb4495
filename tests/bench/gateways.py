"""The gateways: how each is configured, started and asked."""

import json
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Optional

import audit
import engines
from harness import ROOT, RUN, BenchError, free_port

# The binary; run.py may name another.
HEADGATE = ROOT / "target/dist/headgate"
# Known to this benchmark only; the process it opens listens on loopback and is gone a minute later.
KEY = "sk-bench.only-a-benchmark-0123456789abcdef"


@dataclass
class Gateway:
    """One that is about to be started; None as its command means that the mock itself is asked."""

    name: str
    url: str
    # All of them answer 200 once it is ready.
    ready_urls: list
    command: Optional[list] = None
    headers: list = field(default_factory=list)
    # Reads the gateway's own counts, where it keeps any.
    counts: Optional[Callable] = None
    # Removes what it leaves elsewhere, once it has ended.
    clean_up: Optional[Callable] = None

    @property
    def log(self):
        return RUN / f"{self.name}.log"


def direct(mock):
    return Gateway("direct", chat(mock), [f"http://127.0.0.1:{mock}/stats"])


def nginx(mock):
    port, folder = free_port(), fresh("nginx")
    template = (Path(__file__).parent / "nginx.conf").read_text()
    config = folder / "nginx.conf"
    config.write_text(template.replace("@LISTEN@", str(port)).replace("@UPSTREAM@", str(mock)))
    command = [nginx_program(), "-p", folder, "-c", config, "-e", "stderr", "-g", "daemon off;"]
    return Gateway("nginx", chat(port), [f"http://127.0.0.1:{port}/stats"], command)


def nginx_program():
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise BenchError("nginx is not installed, and every figure is read next to its own; "
                         "tests/tools/install.sh installs it")
    return program


def headgate(mock):
    edge, grpc, ops, folder = free_port(), free_port(), free_port(), fresh("headgate")
    config = folder / "headgate.yaml"
    # JSON is YAML.
    config.write_text(json.dumps(headgate_config(mock, edge, grpc, ops, folder / "data"), indent=1))
    ops_url = f"http://127.0.0.1:{ops}"
    return Gateway(
        "headgate", chat(edge), [f"{ops_url}/readyz"], [HEADGATE, "serve", "--config", config],
        [f"authorization: Bearer {KEY}"], lambda: audit.counts(ops_url, audit.in_file(folder / "data/usage.db")))


def headgate_config(mock, edge, grpc, ops, data_dir):
    """Everything is on, and nothing is so low that it refuses."""
    high = {"requests_per_second": 1_000_000, "requests_per_minute": 60_000_000, "tokens_per_minute": 4_000_000_000,
            "parallel_requests": 1_000_000}
    budget = {"limit_usd": "1000000", "window": "calendar_month"}
    return {
        "data_dir": str(data_dir),
        "log": {"filter": "warn"},
        "edge": {"listen": f"127.0.0.1:{edge}", "access_log": False},
        "grpc": {"listen": f"127.0.0.1:{grpc}"},
        "ops": {"listen": f"127.0.0.1:{ops}"},
        "shutdown": {"drain_ms": 0, "grace_ms": 5000},
        # The mock upstream counts what is asked of it, which shall be what the load asked.
        "catalog": {"probe_interval_ms": 0},
        "bootstrap": {
            "tenants": [{"id": "bench", "name": "Bench"}],
            "api_keys": [{"tenant_id": "bench", "name": "bench", "key": KEY}],
            "providers": [{"id": "mock", "name": "mock", "kind": "openai", "api_key": "sk-mock-upstream",
                           "base_url": f"http://127.0.0.1:{mock}/v1"},
                          {"id": "echo", "name": "echo", "kind": "echo"}],
            "models": [{
                "name": "mock-model", "operations": ["chat"],
                "price": {"input_usd_per_1m_tokens": "0.15", "output_usd_per_1m_tokens": "0.60"},
                "targets": [{"provider": "mock", "upstream_model": "mock-model"}],
                "max_output_tokens": 4096, "context_tokens": 131_072}, {
                "name": "echo", "operations": ["chat"],
                "price": {"input_usd_per_1m_tokens": "0.15", "output_usd_per_1m_tokens": "0.60"},
                "targets": [{"provider": "echo", "upstream_model": "echo"}],
                "max_output_tokens": 4096, "context_tokens": 131_072}],
            "limits": [{"key_id": "key_bench", **high}, {"tenant_id": "bench", **high}],
            "budgets": [{"key_id": "key_bench", **budget}, {"tenant_id": "bench", **budget}],
        },
    }


PLANES = {"control": ["auth", "catalog", "budget", "usage", "runtime"], "data": ["adapter", "router", "edge"]}
SERVICES = {name: [name] for name in ["auth", "catalog", "budget", "usage", "runtime", "adapter", "router", "edge"]}


def planes(mock):
    """The data plane and the control plane, over TCP, on files, memory and NATS."""
    return fleet("planes", mock, PLANES)


def split(mock):
    """A process for each service, over TCP, on files, memory and NATS."""
    return fleet("split", mock, SERVICES)


def planes_engines(mock):
    """The data plane and the control plane on PostgreSQL, Redis and NATS."""
    return fleet_on_engines("planes-engines", mock, PLANES)


def split_engines(mock):
    """A process for each service on PostgreSQL, Redis and NATS."""
    return fleet_on_engines("split-engines", mock, SERVICES)


def fleet_on_engines(name, mock, groups):
    """Several processes with all of their state in servers."""
    postgres, redis = engines.Postgres(), free_port()
    folder = fresh(f"{name}-redis")
    gateway = fleet(name, mock, groups, postgres, {"redis": {"url": f"redis://127.0.0.1:{redis}"}},
                    [postgres.command, engines.redis(redis, folder)])
    return replace(gateway, clean_up=postgres.remove)


def fleet(name, mock, groups, postgres=None, more=None, servers=()):
    """Several processes, with a NATS server for their records and, perhaps, their tables in PostgreSQL. `more` goes into
    their configuration; `servers` are the commands of what else they stand on."""
    folder, edge, nats = fresh(name), free_port(), free_port()
    ports = {group: (free_port(), free_port()) for group in groups}
    peers = {service: f"http://127.0.0.1:{ports[group][0]}" for group, services in groups.items()
             for service in services if service != "edge"}
    common = {"peers": peers, "nats": {"url": f"nats://127.0.0.1:{nats}"}, "operator_token": "the bench's operator",
              "identity": {"token_key": "be" * 32}, "master_key": "7a" * 32, **(more or {})}
    if postgres:
        common["database"] = {"url": postgres.url}
    commands = [engines.nats(nats, folder / "nats"), *servers]
    for group, services in groups.items():
        grpc, ops = ports[group]
        config = headgate_config(mock, edge, grpc, ops, folder / group) | common
        file = folder / f"{group}.yaml"
        file.write_text(json.dumps(config, indent=1))
        commands.append([str(HEADGATE), "serve", "--config", str(file), "--only", ",".join(services)])
    (folder / "commands.json").write_text(json.dumps(commands))

    def ops_of(service):
        return next(ports[group][1] for group, services in groups.items() if service in services)

    file = next(folder / group / "usage.db" for group, services in groups.items() if "usage" in services)
    ledger = audit.in_postgres(postgres) if postgres else audit.in_file(file)
    return Gateway(
        name, chat(edge), [f"http://127.0.0.1:{ops}/readyz" for _, ops in ports.values()],
        [sys.executable, Path(__file__).parent / "fleet.py", folder / "commands.json"],
        [f"authorization: Bearer {KEY}"],
        lambda: audit.counts(f"http://127.0.0.1:{ops_of('router')}", ledger))


def chat(port):
    return f"http://127.0.0.1:{port}/v1/chat/completions"


def fresh(name):
    """An empty folder."""
    folder = RUN / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


ALL = {"direct": direct, "nginx": nginx, "headgate": headgate, "planes": planes, "split": split,
       "planes-engines": planes_engines, "split-engines": split_engines}
# What a run measures unless it is told otherwise, and what it measures beside when asked to.
USUAL = ["direct", "nginx", "headgate", "planes", "split"]
ON_ENGINES = ["planes-engines", "split-engines"]
# Those that run the binary.
OURS = ["headgate", "planes", "split", *ON_ENGINES]
