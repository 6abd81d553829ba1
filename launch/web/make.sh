#!/usr/bin/env bash
# Puts together a page that runs a network in the browser, without a server of its own:
#     bash launch/web/make.sh FOLDER [NETWORK [DIRECTIONS]]
# FOLDER, which must not exist, is filled and can be put on any static host. NETWORK is
# what `stylegan_jax.convert` takes, by default the included one; DIRECTIONS a file, by
# default the one beside the network. onnxruntime-web (MIT) is fetched from npm once, into
# the cache, and checked. PYTHON says which one converts (pip install -e ".[onnx]").
set -euo pipefail
FOLDER=${1:?FOLDER is missing: bash launch/web/make.sh FOLDER [NETWORK [DIRECTIONS]]}
NETWORK=${2:-portraits}
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-$([ -x "$HERE/../../.venv/bin/python" ] && echo "$HERE/../../.venv/bin/python" || echo python)}
CACHE=${STYLEGAN_JAX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/stylegan_jax}/npm
VERSION=1.30.0
SHA256=d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71
ADDRESS=https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-$VERSION.tgz
PACKAGE=$CACHE/${ADDRESS##*/}

if [ -e "$FOLDER" ]; then
    echo "$FOLDER exists; give a new name" >&2
    exit 2
fi
if [ ! -f "$PACKAGE" ]; then
    mkdir -p "$CACHE"
    echo "fetching $ADDRESS (33 MB)"
    curl --fail --silent --show-error --location --connect-timeout 20 \
        --output "$PACKAGE.part" "$ADDRESS" || {
        echo "put that file at $PACKAGE" >&2
        exit 69
    }
    mv "$PACKAGE.part" "$PACKAGE"
fi
echo "$SHA256  $PACKAGE" | sha256sum --check --quiet || {
    echo "$PACKAGE is not version $VERSION; remove it, and it is fetched again" >&2
    exit 1
}

mkdir -p "$FOLDER/ort"
trap '[ $? = 0 ] || rm -r "$FOLDER"' EXIT
tar --extract --file "$PACKAGE" --directory "$FOLDER/ort" --strip-components 2 \
    package/dist/ort.wasm.bundle.min.mjs package/dist/ort-wasm-simd-threaded.wasm
"$PYTHON" -m stylegan_jax.convert "$NETWORK" "$FOLDER/net.onnx" | sed '/^It needs/,$d'
"$PYTHON" - "$NETWORK" "$FOLDER/directions.safetensors" "${3:-}" <<'PYTHON'
import pathlib
import sys

from stylegan_jax import loading
from stylegan_jax.commands.running import run_main
from stylegan_jax.editing import direction_files, rescoring

network, destination, given = sys.argv[1:]


def main():
    pathlib.Path(destination).touch()  # empty: none
    if path := given or direction_files.beside(network):
        found = direction_files.load_directions(path)
        rescoring.moves(loading.load(network), found, [1.0] * len(found))  # if they fit
        direction_files.save_directions(destination, found)
        print(f"  {len(found)} directions of {path}")


run_main(main)
PYTHON
cp "$HERE"/{index.html,page.css,page.js,latents.js} "$FOLDER"
echo "$FOLDER is complete; to look at it here:"
echo "    python -m http.server --bind 127.0.0.1 --directory \"$FOLDER\" 8000"
