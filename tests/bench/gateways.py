"""The gateways: how each is configured, started and asked."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Optional

import audit
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
    ready_url: str
    command: Optional[list] = None
    headers: list = field(default_factory=list)
    # Reads the gateway's own counts, where it keeps any.
    counts: Optional[Callable] = None

    @property
    def log(self):
        return RUN / f"{self.name}.log"


def direct(mock):
    return Gateway("direct", chat(mock), f"http://127.0.0.1:{mock}/stats")


def nginx(mock):
    port, folder = free_port(), fresh("nginx")
    template = (Path(__file__).parent / "nginx.conf").read_text()
    config = folder / "nginx.conf"
    config.write_text(template.replace("@LISTEN@", str(port)).replace("@UPSTREAM@", str(mock)))
    command = [nginx_program(), "-p", folder, "-c", config, "-e", "stderr", "-g", "daemon off;"]
    return Gateway("nginx", chat(port), f"http://127.0.0.1:{port}/stats", command)


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
        "headgate", chat(edge), f"{ops_url}/readyz", [HEADGATE, "serve", "--config", config],
        [f"authorization: Bearer {KEY}"], lambda: audit.counts(ops_url, folder / "data/usage.db"))


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
        "bootstrap": {
            "tenants": [{"id": "bench", "name": "Bench"}],
            "api_keys": [{"tenant_id": "bench", "name": "bench", "key": KEY}],
            "providers": [{"id": "mock", "name": "mock", "kind": "openai", "api_key": "sk-mock-upstream",
                           "base_url": f"http://127.0.0.1:{mock}/v1"}],
            "models": [{
                "name": "mock-model", "operations": ["chat"],
                "price": {"input_usd_per_1m_tokens": "0.15", "output_usd_per_1m_tokens": "0.60"},
                "targets": [{"provider": "mock", "upstream_model": "mock-model"}],
                "max_output_tokens": 4096, "context_tokens": 131_072}],
            "limits": [{"key_id": "key_bench", **high}, {"tenant_id": "bench", **high}],
            "budgets": [{"key_id": "key_bench", **budget}, {"tenant_id": "bench", **budget}],
        },
    }


def chat(port):
    return f"http://127.0.0.1:{port}/v1/chat/completions"


def fresh(name):
    """An empty folder."""
    folder = RUN / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


ALL = {"direct": direct, "nginx": nginx, "headgate": headgate}
