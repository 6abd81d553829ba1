#!/usr/bin/env bash
# Makes the pictures of docs/editing.md again, with the commands that are printed there:
#     bash launch/editing_pictures.sh [NETWORK] [FOLDER] [OPERATION...]
# About half an hour on two idle CPU cores. PYTHON says which one runs it.
# shellcheck disable=SC2086  # lists of flags
set -euo pipefail
cd "$(dirname "$0")/.."
NETWORK=${1:-portraits}
OUT=${2:-runs/editing}
shift $(($# < 2 ? $# : 2))
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)}
WANTED=" $* "

edit() { # the operation, its flags; the grid becomes docs/images/edit_OPERATION.png
    local operation=$1
    shift
    [[ $WANTED == "  " || $WANTED == *" $operation "* ]] || return 0
    "$PYTHON" -m stylegan_jax.edit "$operation" "$NETWORK" "$@" --outdir "$OUT/$operation"
    local grid="$OUT/$operation/grid.png"
    [ -f "$grid" ] || grid="$OUT/$operation/grid_coarse.png"
    cp "$grid" "docs/images/edit_${operation//-/_}.png"
}

CODES=$OUT/reconstruct
PIXELS="--perceptual none"
SEARCH="--perceptual none --w-steps 300 --noise-steps 300"
edit reconstruct portrait:50006,50010,50024,50028 $PIXELS
edit morph "$CODES"/portrait50006.safetensors "$CODES"/portrait50024.safetensors
edit mix --content seed:1-3 --style seed:4-7 --rows coarse middle fine
edit scale seed:2 seed:5 --factors 0,0.5,1,1.5
edit expression --subject "$CODES"/portrait50006.safetensors seed:5 \
    --neutral portrait:50024:smile=-0.6 --expressive portrait:50024:smile=1 \
    --threshold 2 $SEARCH
edit features "$CODES"/portrait50006.safetensors "$CODES"/portrait50010.safetensors \
    --donor "$CODES"/portrait50024.safetensors --mask top
edit crossover --inside portrait:50006 portrait:50010 --outside portrait:50024 \
    portrait:50028 --mask left $SEARCH
HOLE="portrait:50006 portrait:50024 --mask eyes+nose --face portraits"
edit inpaint $HOLE $PIXELS --noise-steps 300
if [[ $WANTED == "  " || $WANTED == *" inpaint "* ]]; then
    "$PYTHON" -m stylegan_jax.edit inpaint "$NETWORK" $HOLE --optimizer adam --rate 0.05 \
        $SEARCH --outdir "$OUT/inpaint_adam"
    cp "$OUT/inpaint_adam/grid.png" docs/images/edit_inpaint_adam.png
fi
edit scribble --image "$CODES"/portrait50010.safetensors --paint hair=#d8b050 --face portraits \
    --rows all --stay 0.001 $SEARCH
edit local-style "$CODES"/portrait50006.safetensors "$CODES"/portrait50010.safetensors \
    --style portrait:50028 --mask face --face portraits --style-of colours $SEARCH
edit swap-face "$CODES"/portrait50006.safetensors "$CODES"/portrait50010.safetensors \
    --donor portrait:50024 --face portraits $SEARCH
edit attribute "$CODES"/portrait50006.safetensors seed:5 --name smile
