#!/usr/bin/env python3
"""Runs a topology of deploy/kubernetes without a cluster: each pod as a container of a Docker network, with the image,
command lines, files, secrets, users and names that the manifests give it, and the engines from this machine's own
programs. Then requests, and an end in good order."""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import pwd
import subprocess
import tempfile
import time

import yaml

from checks import Checks, equal
from deploy_kubernetes import Topology
from headgate_config import SAMPLES

checks = Checks()
PATIENCE = 90
KEY = "sk-docker.docker-client-secret"
REQUESTS = 20
# What an operator would add to the settings.
BOOTSTRAP = {
    "tenants": [{"id": "docker", "name": "Docker"}],
    "api_keys": [{"tenant_id": "docker", "name": "test", "key": KEY}],
    "providers": [{"id": "echo", "name": "echo", "kind": "echo"}],
    "models": [{
        "name": "echo", "operations": ["chat"], "max_output_tokens": 64, "context_tokens": 8192,
        "price": {"input_usd_per_1m_tokens": "0.10", "output_usd_per_1m_tokens": "0.20"},
        "targets": [{"provider": "echo", "upstream_model": "echo"}],
    }],
}


def eventually(what, check):
    end = time.monotonic() + PATIENCE
    while not (found := check()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
    return found


class Cluster:
    """A Docker network and what runs in it; removed when closed."""

    def __init__(self, topology, image, host):
        self.topology, self.image = topology, image
        self.environment = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
        self.name = f"headgate-test-{os.getpid()}"
        self.folder = tempfile.TemporaryDirectory()
        self.docker("network", "create", self.name)
        self.pods = {}

    def docker(self, *arguments, check=True):
        done = subprocess.run(["docker", *arguments], env=self.environment, capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def close(self):
        left = self.docker("ps", "--all", "--quiet", "--filter", f"network={self.name}", check=False).split()
        if left:
            self.docker("rm", "--force", "--volumes", *left, check=False)
        self.docker("network", "rm", self.name, check=False)
        self.folder.cleanup()

    def run(self, name, options, arguments):
        place = ["--network", self.name, "--name", f"{self.name}-{name}"]
        return self.docker("run", *place, *options, self.image, *arguments)

    def engine(self, name, user, command):
        """A server of this machine in a container: its programs are lent to it."""
        folders = filter(os.path.exists, ("/usr", "/lib", "/lib64", "/bin", "/etc"))
        lent = [f"--volume={path}:{path}:ro" for path in folders]
        account = pwd.getpwnam(user)
        data = f"--tmpfs=/data:uid={account.pw_uid},gid={account.pw_gid},mode=0700"
        options = ["--detach", "--network-alias", name, "--user", f"{account.pw_uid}:{account.pw_gid}", data,
                   "--no-healthcheck", "--tmpfs=/tmp", *lent, "--entrypoint", "/bin/sh"]
        return self.run(name, options, ["-c", command])

    def file(self, name, text):
        file = pathlib.Path(self.folder.name, name)
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(0o444)
        return file

    def settings(self, workload):
        return yaml.safe_dump({**self.topology.settings(workload), "bootstrap": BOOTSTRAP})

    def options(self, workload, container):
        """How a container of a pod is run, as its manifest says."""
        security, pod = container["securityContext"], workload.pod["securityContext"]
        assert security["readOnlyRootFilesystem"] and security["capabilities"]["drop"] == ["ALL"]
        options = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--no-healthcheck",
                   f"--user={pod['runAsUser']}:{pod['runAsGroup']}", "--memory=512m"]
        for variable in container.get("env", []):
            value = variable.get("value", SAMPLES.get(variable["name"]))
            options.append(f"--env={variable['name']}={value}")
        volumes = {volume["name"]: volume for volume in workload.pod["volumes"]}
        for mount in container["volumeMounts"]:
            volume = volumes.get(mount["name"], {})
            if "configMap" in volume:
                source = self.file(f"{workload.name}.yaml", self.settings(workload))
                options.append(f"--volume={source}:{mount['mountPath']}/headgate.yaml:ro")
            elif volume.get("secret", {}).get("secretName") == "headgate-tls":
                for item in volume["secret"]["items"]:
                    text = pathlib.Path(self.topology.certificates, item["key"]).read_text()
                    source = self.file(item["key"], text)
                    options.append(f"--volume={source}:{mount['mountPath']}/{item['path']}:ro")
            elif "secret" in volume:
                options.append(f"--volume={self.file('pepper', '3' * 64)}:{mount['mountPath']}:ro")
            else:
                options.append(f"--tmpfs={mount['mountPath']}:uid={pod['runAsUser']},mode=0700")
        return options

    def start(self, workload):
        services = self.topology.of_kind("Service").items()
        names = [name for name, service in services if workload.is_selected_by(service["spec"]["selector"])]
        for init in workload.pod.get("initContainers", []):
            self.run(f"{workload.name}-{init['name']}", self.options(workload, init), init["args"])
        scalers = self.topology.of_kind("HorizontalPodAutoscaler")
        count = workload.spec.get("replicas") or scalers[workload.name]["spec"]["minReplicas"]
        ports = [f"--publish=127.0.0.1::{port}" for port in workload.ports().values()]
        aliases = [f"--network-alias={name}" for name in names]
        options = ["--detach", *ports, *aliases, *self.options(workload, workload.container)]
        self.pods[workload.name] = [
            self.run(f"{workload.name}-{n}", options, workload.container["args"]) for n in range(count)
        ]

    def ask(self, pod, port, method, path, body=None, headers=None):
        host, published = self.docker("port", pod, f"{port}/tcp").splitlines()[0].split(":")
        connection = http.client.HTTPConnection(host, int(published), timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def answers(self, pod, path):
        running = self.docker("inspect", "--format", "{{.State.Running}}", pod) == "true"
        assert running, subprocess.run(["docker", "logs", pod], env=self.environment, capture_output=True)
        try:
            return self.ask(pod, 9090, "GET", path)[0] == 200
        except OSError:
            return False

    def everyone(self):
        return [(workload, pod) for workload in self.topology.workloads for pod in self.pods[workload.name]]

    def records(self):
        """How many records the ledger has taken, over the replicas of usage."""
        pods = [pod for workload, pod in self.everyone() if "usage" in workload.services]
        lines = [line for pod in pods for line in self.ask(pod, 9090, "GET", "/metrics")[1].splitlines()]
        return sum(float(line.split()[-1]) for line in lines if line.startswith("headgate_usage_records_total"))


@checks.add
def every_pod_becomes_live_and_ready(cluster):
    for workload in cluster.topology.workloads:
        cluster.start(workload)
    for workload, pod in cluster.everyone():
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = workload.container[probe]["httpGet"]["path"]
            eventually(f"{workload.name} to answer {path}", lambda: cluster.answers(pod, path))


@checks.add
def requests_pass_through_all_of_it_into_the_ledger(cluster):
    edges = [pod for workload, pod in cluster.everyone() if "edge" in workload.services]
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hello"}]})
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    for n in range(REQUESTS):
        status, answer = cluster.ask(edges[n % len(edges)], 8080, "POST", "/v1/chat/completions", body, headers)
        equal((status, "hello" in answer), (200, True))
    eventually("the records", lambda: cluster.records() >= REQUESTS)


@checks.add
def every_pod_ends_in_good_order_in_the_time_it_has(cluster):
    pods = [pod for _, pod in cluster.everyone()]
    seconds = min(workload.pod["terminationGracePeriodSeconds"] for workload, _ in cluster.everyone())
    cluster.docker("stop", "--time", str(seconds), *pods)
    equal(set(cluster.docker("inspect", "--format", "{{.State.ExitCode}}", *pods).split()), {"0"})


def engines(cluster):
    """What several processes share; one needs none of it."""
    if len(cluster.topology.workloads) == 1:
        return
    cluster.engine("nats", "nobody", "exec /usr/sbin/nats-server -js -sd /data --user user --pass password")
    cluster.engine("redis", "nobody", "exec redis-server --dir /data --requirepass password --protected-mode no")
    start = "B=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); echo password > /tmp/password; " \
        "$B/initdb -D /data/db -U role --auth=scram-sha-256 --pwfile=/tmp/password --no-sync >/dev/null && " \
        "echo 'host all all all scram-sha-256' >> /data/db/pg_hba.conf && " \
        "exec $B/postgres -D /data/db -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off"
    pod = cluster.engine("postgres", "postgres", start)
    create = ["exec", "--env", "PGPASSWORD=password", pod, "/bin/sh", "-c",
              "createdb --host=127.0.0.1 --username=role headgate && echo made"]
    eventually("PostgreSQL", lambda: cluster.docker(*create, check=False) == "made")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("overlay")
    parser.add_argument("--headgate", required=True, help="the binary")
    parser.add_argument("--image", required=True, help="an image of it")
    parser.add_argument("--certificates", help="a folder with tls.crt, tls.key and ca.crt, where processes need them")
    parser.add_argument("--docker-host", help="where the engine is, if not where the client looks")
    args = parser.parse_args()
    topology = Topology(args.overlay, args.headgate, args.certificates)
    with contextlib.closing(Cluster(topology, args.image, args.docker_host)) as cluster:
        engines(cluster)
        checks.run(cluster)
