#!/usr/bin/env bash
# Makes the pictures of docs/figures.md again, with the commands that are printed there:
#     bash launch/figures.sh [FOLDER] [FIGURE...]
# of the network that comes with the package, and `growing` of the run that made it,
# runs/portraits32, if it is here. FOLDER keeps what is made on the way. PYTHON says which
# one runs it.
set -euo pipefail
cd "$(dirname "$0")/.."
RUN=${RUN:-runs/portraits32}
WORK=${1:-runs/figures}
shift $(($# < 1 ? $# : 1))
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python)}
WANTED=" $* "
PICTURES=docs/images/figures
NETWORK=portraits
# Chosen by eye from `uncurated`, and to be chosen again for another network: dark skin,
# dark hair; light skin, brown hair; light skin, white or fair hair.
A=5,6,9,23 B=2,3,8,22 C=7,13,15,17

wanted() { [[ $WANTED == "  " || $WANTED == *" $1 "* ]]; }

figure() { # name and flags
    wanted "$1" || return 0
    "$PYTHON" -m stylegan_jax.figures "$1" "$NETWORK" "${@:2}" --outdir "$PICTURES"
}

figure uncurated --seeds 0-23
figure style-mixing
figure style-scaling
figure truncation --seeds 91,388,5
figure noise-layers
figure stochastic-variation
figure layer-effects
figure layer --seed 5
figure interpolation --seeds 0-5 --frames 20 --fps 20
figure inversion
figure loss-masks --mask face
figure gram
figure arithmetic --a $A --b $B --c $C
if [ -d "$RUN" ]; then
    NETWORK=$RUN figure growing
fi

PHOTOS=$WORK/photos CODES=$WORK/codes
if { wanted reconstruction || wanted morph; } && [ ! -d "$CODES" ]; then
    # Built-in portraits that the network was not trained on.
    "$PYTHON" - "$PHOTOS" <<'PYTHON'
import pathlib
import sys

from stylegan_jax.io import images
from stylegan_jax.data.portraits.source import Portraits

folder, portraits = pathlib.Path(sys.argv[1]), Portraits(1_000_000)
folder.mkdir(parents=True, exist_ok=True)
for number in (50006, 50010, 50024, 50028, 50031, 50040):
    images.write_png(folder / f"portrait{number}.png", portraits.image(number, 32))
PYTHON
    "$PYTHON" -m stylegan_jax.invert "$PHOTOS" --network "$NETWORK" --perceptual none \
        --steps 400 --learning-rate 0.05 --noise-steps 200 --batch-size 6 \
        --outdir "$CODES"
fi
figure reconstruction --codes "$CODES"
figure morph --images "$CODES"/portrait50006.safetensors \
    "$CODES"/portrait50024.safetensors "$CODES"/portrait50010.safetensors \
    "$CODES"/portrait50028.safetensors --frames 30

find "$PICTURES" -size +300k -printf '%p is over 300 kB\n'
