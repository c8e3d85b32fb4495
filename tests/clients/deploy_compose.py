#!/usr/bin/env python3
"""Checks one of the compose files against the Compose specification, and against what only a start would show."""

import argparse
import re

import yaml
from compose_spec import PyCompose

from checks import Checks, equal
from headgate_config import DATABASE, NATS, REDIS, REPOSITORY, SAMPLES, SERVICES, Binary, services_of

checks = Checks()
DEPLOY = REPOSITORY / "deploy"
SETTINGS = "/etc/headgate/headgate.yaml"
ENGINES = {
    "HEADGATE__DATABASE__URL": (DATABASE, "postgres:5432"),
    "HEADGATE__NATS__URL": (NATS, "nats:4222"),
    "HEADGATE__REDIS__URL": (REDIS, "redis:6379"),
}


class Compose:
    """A file with the variables of .env.example filled in, as `docker compose` does."""

    def __init__(self, name, binary):
        text = (DEPLOY / name).read_text()
        lines = (line.strip() for line in (DEPLOY / ".env.example").read_text().splitlines())
        self.variables = dict(line.lstrip("# ").split("=", 1) for line in lines if re.match(r"(# )?[A-Z_]+=", line))
        self.asked = set()
        text = re.sub(r"\$\{([A-Z_]+):([-?])([^}]*)\}", self._fill, text)
        assert "$" not in text, "a variable without a default or a message"
        self.document = yaml.safe_load(text)
        self.document = {name: part for name, part in self.document.items() if not name.startswith("x-")}
        self.services = self.document["services"]
        # What runs the binary; the rest are engines.
        self.own = {n: s for n, s in self.services.items() if s["image"] == "headgate"}
        self.processes = {n: s for n, s in self.own.items() if s["command"][0] == "serve"}
        self.binary = Binary(binary)

    def _fill(self, match):
        name, operator, default = match.groups()
        self.asked.add(name)
        assert name in self.variables, f"{name} is not in .env.example"
        return self.variables[name] if operator == "?" else default


@checks.add
def the_file_is_what_the_specification_says(compose):
    # As YAML, since it has anchors and merges no more.
    PyCompose.from_yaml(yaml.safe_dump(compose.document)).validate()


@checks.add
def every_service_runs_once(compose):
    commands = [process["command"] for process in compose.processes.values()]
    equal(sorted(service for command in commands for service in services_of(command)), sorted(SERVICES))


@checks.add
def nothing_has_rights_it_does_not_need(compose):
    for service in compose.own.values():
        equal((service["read_only"], service["cap_drop"]), (True, ["ALL"]))
        equal(service["security_opt"], ["no-new-privileges:true"])
        assert service["mem_limit"] and service["pids_limit"] and "privileged" not in service
        mounted = [volume for volume in service.get("volumes", []) if isinstance(volume, dict)]
        assert all(volume["read_only"] and not volume["bind"]["create_host_path"] for volume in mounted)


@checks.add
def ports_are_published_on_this_machine_only(compose):
    ports = [port for service in compose.services.values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports), ports


@checks.add
def processes_are_given_time_to_end(compose):
    for name, process in compose.processes.items():
        assert int(process["stop_grace_period"].rstrip("s")) >= compose.binary.stop_seconds({}), name


@checks.add
def records_wait_on_volumes_that_stay(compose):
    volumes = set()
    for name, process in compose.processes.items():
        data = [v.split(":")[0] for v in process.get("volumes", []) if isinstance(v, str) and v.endswith(":/data")]
        assert len(data) == 1 or process["tmpfs"][0].startswith("/data:"), name
        assert data or not services_of(process["command"]) & {"router", "budget"}, name
        volumes |= set(data)
    engines = compose.services.keys() - compose.own.keys()
    volumes |= {v.split(":")[0] for name in engines for v in compose.services[name]["volumes"]}
    equal(volumes, set(compose.document["volumes"]))


@checks.add
def what_a_process_waits_for_becomes_true(compose):
    for service in compose.services.values():
        for other, wait in service.get("depends_on", {}).items():
            condition = wait["condition"]
            assert condition != "service_healthy" or "test" in compose.services[other]["healthcheck"], other
            # One that is started again and again completes never.
            assert condition != "service_completed_successfully" or compose.services[other]["restart"] == "no", other


@checks.add
def peers_and_engines_are_services_here(compose):
    for name, process in compose.processes.items():
        environment, services = process["environment"], services_of(process["command"])
        for variable, address in environment.items():
            if variable.startswith("HEADGATE__PEERS__"):
                host, port = re.fullmatch(r"http://([a-z]+):(\d+)", address).groups()
                assert variable.split("__")[-1].lower() in services_of(compose.processes[host]["command"]), address
                equal(port, "50051")
        if len(compose.processes) > 1:
            for variable, (users, address) in ENGINES.items():
                equal((name, variable, variable in environment), (name, variable, bool(services & users)))
                url = environment.get(variable, f"//{address}")
                equal(re.search(r"//(?:.*@)?([^/]*)", url).group(1), address)
                assert address.split(":")[0] in compose.services


@checks.add
def settings_are_what_the_binary_takes(compose):
    for name, process in compose.processes.items():
        environment = {n: SAMPLES.get(n, value) for n, value in process["environment"].items()}
        (source,) = [v["source"] for v in process.get("volumes", []) if isinstance(v, dict)] or [None]
        if source is not None:
            equal((source, process["volumes"][-1]["target"]), ("./headgate.yaml", SETTINGS))
            assert SETTINGS in process["command"], f"{name} does not read its file"
        text = (DEPLOY / "headgate.example.yaml").read_text() if source else None
        compose.binary.check(process["command"], text, environment)


@checks.add
def no_secret_is_given_away(compose):
    secrets = {n: compose.variables[n] for n in compose.asked - {"HEADGATE_IMAGE", "HEADGATE_PUBLISH"}}
    assert secrets and all(value.startswith("replace-me") for value in secrets.values()), secrets


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--headgate", required=True, help="the binary")
    args = parser.parse_args()
    checks.run(Compose(args.file, args.headgate))
