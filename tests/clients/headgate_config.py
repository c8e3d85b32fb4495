"""What a deployment tells `headgate`, judged by the binary itself."""

import pathlib
import re
import subprocess
import tempfile

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
SERVICES = {"edge", "router", "adapter", "auth", "catalog", "budget", "usage", "runtime"}

# Who may call whom. The edge translates for all but the adapter, which serves nobody outside.
CALLS = {
    "edge": {"router", "auth", "catalog", "budget", "usage", "runtime"},
    "router": {"auth", "catalog", "budget", "adapter", "runtime"},
    "runtime": {"auth", "catalog"},
    "catalog": {"auth", "adapter"},
    "budget": {"auth"},
    "auth": {"budget"},
    "usage": {"auth"},
}

# Who needs which engine.
DATABASE = {"auth", "catalog", "budget", "usage"}
NATS = {"router", "budget", "usage"}
REDIS = {"budget"}

# In place of secrets.
SAMPLES = {
    "HEADGATE__OPERATOR_TOKEN": "f" * 32,
    "HEADGATE__IDENTITY__TOKEN_KEY": "1" * 64,
    "HEADGATE__MASTER_KEY": "2" * 64,
    "HEADGATE__BUDGET__SEALING_KEY": "4" * 64,
    "HEADGATE__DATABASE__URL": "postgres://role:password@postgres:5432/headgate",
    "HEADGATE__NATS__URL": "nats://user:password@nats:4222",
    "HEADGATE__REDIS__URL": "redis://:password@redis:6379",
}


class Binary:
    """The program, and what it says of its settings."""

    def __init__(self, path):
        self.path = path
        self.defaults = yaml.safe_load(self._run("config", "default"))

    def _run(self, *arguments, environment=None, folder="/"):
        command = [self.path, *arguments]
        done = subprocess.run(command, env=environment or {}, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def check(self, arguments, settings, environment):
        """Takes the command line of a process, the text of its file and its environment, and asserts that the
        process would start with them."""
        assert arguments[0] == "serve", arguments
        only = services_of(arguments)
        with tempfile.TemporaryDirectory() as folder:
            command = ["config", "check"]
            if settings is not None:
                assert "--config" in arguments, f"its file is not read: {arguments}"
                file = pathlib.Path(folder, "headgate.yaml")
                file.write_text(settings)
                command += ["--config", str(file)]
            if only != SERVICES:
                command += ["--only", ",".join(sorted(only))]
            environment = {**image_environment(), **environment, "HEADGATE__DATA_DIR": folder}
            self._run(*command, environment=environment, folder=folder)

    def stop_seconds(self, settings):
        """The longest that a process may take to end in an orderly way: the drain, the grace for calls, as long for
        what they leave to do, and 10 s each for consumers and the spool."""
        shutdown = {**self.defaults["shutdown"], **(settings or {}).get("shutdown", {})}
        return (shutdown["drain_ms"] + 2 * shutdown["grace_ms"]) / 1000 + 20


def services_of(arguments):
    """The services that a command line runs."""
    if "--only" not in arguments:
        return SERVICES
    named = set(arguments[arguments.index("--only") + 1].split(","))
    assert named <= SERVICES, f"no service: {named - SERVICES}"
    return named


def image_environment():
    """What the image sets."""
    text = (REPOSITORY / "deploy/Dockerfile").read_text().replace("\\\n", " ")
    line = re.search(r"^ENV (.*)$", text, re.MULTILINE).group(1)
    return dict(pair.split("=", 1) for pair in line.split())
