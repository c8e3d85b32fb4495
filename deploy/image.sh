#!/usr/bin/env bash
# Makes the image from a binary of this machine, without a registry and without a compiler:
#
#   deploy/image.sh target/dist/headgate headgate
#
# What it makes is deploy/Dockerfile's last stage: only its first stage, the build, is left out.
set -euo pipefail

binary=$1
image=$2
here=$(cd "$(dirname "$0")" && pwd)
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

"$here/rootfs.sh" "$binary" "$context/image"
sed -n '/^FROM scratch$/,$ { s/ --from=build / /; p }' "$here/Dockerfile" > "$context/Dockerfile"
docker build --quiet --tag "$image" --build-arg VERSION="${VERSION:-unknown}" \
  --build-arg REVISION="${REVISION:-unknown}" "$context"
