#!/usr/bin/env python3
"""Checks one topology of deploy/kubernetes as kustomize renders it: against the Kubernetes schemas, and against what a
cluster would find out only at run time."""

import argparse
import pathlib
import subprocess
import sys

import kubernetes_validate
import yaml

from checks import Checks, equal
from headgate_config import CALLS, DATABASE, NATS, REDIS, REPOSITORY, SAMPLES, SERVICES, Binary, services_of

checks = Checks()
# The oldest and the newest that the manifests are for.
VERSIONS = ["1.29", kubernetes_validate.latest_version()]
SETTINGS = "/etc/headgate/headgate.yaml"
TLS = "HEADGATE__IDENTITY__TLS__CERTIFICATE_FILE"


class Workload:
    """A Deployment or StatefulSet."""

    def __init__(self, document):
        self.document = document
        self.kind, self.name = document["kind"], document["metadata"]["name"]
        self.spec = document["spec"]
        self.template = self.spec["template"]
        self.pod = self.template["spec"]
        (self.container,) = self.pod["containers"]
        self.services = services_of(self.container["args"])

    def containers(self):
        return self.pod["containers"] + self.pod.get("initContainers", [])

    def ports(self):
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    def environment(self):
        return {e["name"]: e.get("value", SAMPLES.get(e["name"])) for e in self.container["env"]}

    def speaks_tls(self):
        return TLS in self.environment()

    def is_selected_by(self, labels):
        return labels.items() <= self.template["metadata"]["labels"].items()


class Topology:
    """All documents of an overlay."""

    def __init__(self, overlay, binary, certificates=None):
        self.folder = REPOSITORY / "deploy/kubernetes/overlays" / overlay
        # A folder with tls.crt, tls.key and ca.crt, in place of those of a Secret.
        self.certificates = certificates
        kubectl = pathlib.Path(sys.executable).with_name("kubectl")
        rendered = subprocess.run([kubectl, "kustomize", self.folder], stdout=subprocess.PIPE, check=True, text=True)
        self.documents = list(yaml.safe_load_all(rendered.stdout))
        self.secrets = [secret for folder in self.overlays(self.folder)
                        for secret in yaml.safe_load_all((folder / "secrets.example.yaml").read_text())]
        self.workloads = [Workload(d) for d in self.documents if d["kind"] in ("Deployment", "StatefulSet")]
        self.binary = Binary(binary)

    def overlays(self, folder):
        """This one and those that it stands on."""
        resources = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        below = [(folder / resource).resolve() for resource in resources]
        return [folder] + [found for b in below if b.parent == self.folder.parent for found in self.overlays(b)]

    def of_kind(self, kind):
        return {d["metadata"]["name"]: d for d in self.documents if d["kind"] == kind}

    def settings_text(self, workload):
        """The text of the file a process reads, wherever it comes from."""
        (mount,) = [m for m in workload.container["volumeMounts"] if m["mountPath"] == "/etc/headgate"]
        (volume,) = [v for v in workload.pod["volumes"] if v["name"] == mount["name"]]
        return self.of_kind("ConfigMap")[volume["configMap"]["name"]]["data"]["headgate.yaml"]

    def settings(self, workload):
        return yaml.safe_load(self.settings_text(workload))


@checks.add
def every_document_is_what_the_schemas_say(topology):
    assert len(topology.documents) > 8
    for document in topology.documents + topology.secrets:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


@checks.add
def no_document_stands_twice_and_all_are_in_the_namespace(topology):
    names = [(d["kind"], d["metadata"]["name"]) for d in topology.documents + topology.secrets]
    equal(len(names), len(set(names)))
    places = {d["metadata"].get("namespace") for d in topology.documents if d["kind"] != "Namespace"}
    equal(places, {"headgate"})


@checks.add
def every_service_runs_in_one_workload(topology):
    equal(sorted(s for workload in topology.workloads for s in workload.services), sorted(SERVICES))


@checks.add
def nothing_has_rights_it_does_not_need(topology):
    for workload in topology.workloads:
        pod = workload.pod
        account = topology.of_kind("ServiceAccount")[pod["serviceAccountName"]]
        equal((account["automountServiceAccountToken"], pod["automountServiceAccountToken"]), (False, False))
        security = pod["securityContext"]
        assert security["runAsNonRoot"] and security["runAsUser"] > 0 and security["fsGroup"] > 0
        equal(security["seccompProfile"], {"type": "RuntimeDefault"})
        for container in workload.containers():
            own = container["securityContext"]
            equal(own["capabilities"], {"drop": ["ALL"]})
            equal((own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]), (True, False))


@checks.add
def everything_is_bounded(topology):
    for workload in topology.workloads:
        for container in workload.containers():
            for bound in ("requests", "limits"):
                equal(set(container["resources"][bound]), {"cpu", "memory"})


@checks.add
def processes_are_probed_scraped_and_given_time_to_end(topology):
    for workload in topology.workloads:
        for probe, path in [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]:
            equal(workload.container[probe]["httpGet"], {"path": path, "port": "ops"})
        annotations = workload.template["metadata"]["annotations"]
        equal((annotations["prometheus.io/scrape"], annotations["prometheus.io/path"]), ("true", "/metrics"))
        equal(int(annotations["prometheus.io/port"]), workload.ports()["ops"])
        takes = topology.binary.stop_seconds(topology.settings(workload))
        assert workload.pod["terminationGracePeriodSeconds"] >= takes, f"{workload.name} may take {takes} s to end"


@checks.add
def listeners_are_on_the_ports_that_are_named(topology):
    for workload in topology.workloads:
        expected = {"grpc": 50051, "ops": 9090} | ({"http": 8080} if "edge" in workload.services else {})
        equal(workload.ports(), expected)


@checks.add
def records_wait_on_volumes_that_stay(topology):
    for workload in topology.workloads:
        assert any(mount["mountPath"] == "/data" for mount in workload.container["volumeMounts"])
        keeps = bool(workload.services & {"router", "budget"})
        templates = workload.spec.get("volumeClaimTemplates", [])
        assert all(set(claim["spec"]["resources"]["requests"]) == {"storage"} for claim in templates)
        claims = [claim["metadata"]["name"] for claim in templates]
        volumes = {v["name"]: v for v in workload.pod["volumes"]}
        equal(claims, ["data"] if workload.kind == "StatefulSet" else [])
        assert workload.kind == "StatefulSet" or ("emptyDir" in volumes["data"] and not keeps), workload.name
        equal("data" in volumes, workload.kind == "Deployment")


@checks.add
def kubernetes_services_lead_to_workloads(topology):
    for name, service in topology.of_kind("Service").items():
        (workload,) = [w for w in topology.workloads if w.is_selected_by(service["spec"]["selector"])]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in workload.ports(), f"{name}: {port}"
    for workload in topology.workloads:
        assert workload.is_selected_by(workload.spec["selector"]["matchLabels"])
        if workload.kind == "StatefulSet":
            equal(topology.of_kind("Service")[workload.spec["serviceName"]]["spec"]["clusterIP"], "None")


@checks.add
def peers_are_where_the_settings_say(topology):
    for workload in topology.workloads:
        for peer, address in topology.settings(workload).get("peers", {}).items():
            scheme, host, port = address.replace("//", "").split(":")
            service = topology.of_kind("Service")[host]
            # Each replica has an address, so that calls are balanced and not connections.
            wanted = "https" if workload.speaks_tls() else "http"
            equal((scheme, service["spec"]["clusterIP"]), (wanted, "None"))
            (found,) = [p for p in service["spec"]["ports"] if p["port"] == int(port)]
            equal(found["targetPort"], "grpc")
            (callee,) = [w for w in topology.workloads if w.is_selected_by(service["spec"]["selector"])]
            assert peer in callee.services, f"{address} does not run {peer}"


@checks.add
def settings_are_what_the_binary_takes(topology):
    for workload in topology.workloads:
        equal(workload.container["args"][:3], ["serve", "--config", SETTINGS])
        environment = workload.environment()
        if workload.speaks_tls():
            (volume,) = [v for v in workload.pod["volumes"] if v.get("secret", {}).get("secretName") == "headgate-tls"]
            (place,) = [m["mountPath"] for m in workload.container["volumeMounts"] if m["name"] == volume["name"]]
            environment = {name: value.replace(place, topology.certificates) for name, value in environment.items()}
        topology.binary.check(workload.container["args"], topology.settings_text(workload), environment)


@checks.add
def secrets_are_referred_to_and_given_to_whom_they_concern(topology):
    equal(topology.of_kind("Secret"), {})
    exist = {(secret["metadata"]["name"], key) for secret in topology.secrets for key in secret["stringData"]}
    used = set()
    for workload in topology.workloads:
        for container in workload.containers():
            keys = [e["valueFrom"]["secretKeyRef"] for e in container.get("env", []) if "valueFrom" in e]
            used |= {(key["name"], key["key"]) for key in keys}
            assert not any(e["name"] in SAMPLES and "value" in e for e in container.get("env", []))
        for volume in workload.pod["volumes"]:
            used |= {(volume["secret"]["secretName"], i["key"]) for i in volume.get("secret", {}).get("items", [])}
    equal(used, exist)
    for secret in topology.secrets:
        assert all("replace-me" in value for value in secret["stringData"].values()), secret


@checks.add
def a_process_has_the_engines_of_its_services_and_no_others(topology):
    if len(topology.workloads) == 1:
        return
    for workload in topology.workloads:
        has = workload.environment().keys()
        for variable, users in [
            ("HEADGATE__DATABASE__URL", DATABASE), ("HEADGATE__NATS__URL", NATS), ("HEADGATE__REDIS__URL", REDIS),
            ("HEADGATE__MASTER_KEY", {"catalog", "adapter"}), ("HEADGATE__IDENTITY__TOKEN_KEY", SERVICES),
            ("HEADGATE__BUDGET__SEALING_KEY", {"budget"}),
        ]:
            needs = bool(workload.services & users)
            equal((workload.name, variable, variable in has), (workload.name, variable, needs))
        # Schemas are those of the services that run here, brought up to date before.
        init = [c["args"] for c in workload.pod.get("initContainers", [])]
        owned = workload.services & DATABASE
        equal([args[0] for args in init], ["migrate"] if owned else [])
        assert all(services_of(args) == owned and SETTINGS in args for args in init), init


@checks.add
def replicas_come_and_go_a_few_at_a_time(topology):
    budgets = {str(b["spec"]["selector"]): b for b in topology.of_kind("PodDisruptionBudget").values()}
    scalers = [scaler["spec"] for scaler in topology.of_kind("HorizontalPodAutoscaler").values()]
    scalers = {scaler["scaleTargetRef"]["name"]: scaler for scaler in scalers}
    equal(len(budgets), len(topology.workloads))
    for workload in topology.workloads:
        assert str(workload.spec["selector"]) in budgets, workload.name
        scaler = scalers.pop(workload.name, None)
        # Either the scaler or the manifest says how many there are.
        assert (scaler is None) == ("replicas" in workload.spec), workload.name
        if scaler:
            equal(scaler["scaleTargetRef"]["kind"], workload.kind)
            assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    equal(scalers, {})


def expected_calls(topology):
    """(caller, callee) of workloads, as their services call each other."""
    where = {service: workload.name for workload in topology.workloads for service in workload.services}
    pairs = {(where[caller], where[callee]) for caller, callees in CALLS.items() for callee in callees}
    return {(caller, callee) for caller, callee in pairs if caller != callee}


def selected(topology, peers):
    for peer in peers:
        if "podSelector" in peer and "namespaceSelector" not in peer:
            labels = peer["podSelector"]["matchLabels"]
            yield from (w.name for w in topology.workloads if w.is_selected_by(labels))


@checks.add
def networks_carry_what_has_to_be_said_and_no_more(topology):
    policies = topology.of_kind("NetworkPolicy")
    equal(policies["default-deny"]["spec"], {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
    heard, spoken, ports = set(), set(), {}
    for workload in topology.workloads:
        spec = policies[workload.name]["spec"]
        assert workload.is_selected_by(spec["podSelector"]["matchLabels"])
        equal(set(spec["policyTypes"]), {"Ingress", "Egress"})
        for rule in spec["ingress"]:
            heard |= {(caller, workload.name) for caller in selected(topology, rule.get("from", []))}
            assert rule["ports"] and ("from" in rule or rule["ports"] == [{"port": "http"}]), rule
        for rule in spec.get("egress", []):
            spoken |= {(workload.name, callee) for callee in selected(topology, rule.get("to", []))}
            ports.setdefault(workload.name, set()).update(p["port"] for p in rule["ports"] if p["port"] != "grpc")
    equal(heard, expected_calls(topology))
    equal(spoken, expected_calls(topology))
    for workload in topology.workloads:
        engines = [(5432, DATABASE), (4222, NATS), (6379, REDIS)] if len(topology.workloads) > 1 else []
        needed = {port for port, users in [*engines, (443, {"adapter"})] if workload.services & users}
        equal((workload.name, ports.get(workload.name, set())), (workload.name, needed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("overlay")
    parser.add_argument("--headgate", required=True, help="the binary")
    parser.add_argument("--certificates", help="a folder with tls.crt, tls.key and ca.crt, where processes need them")
    args = parser.parse_args()
    checks.run(Topology(args.overlay, args.headgate, args.certificates))
