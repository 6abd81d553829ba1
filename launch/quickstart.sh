#!/usr/bin/env bash
# From a fresh clone to pictures: makes an environment in .venv, installs, trains the
# built-in portraits from 8 to 32 px and writes a grid of samples. Minutes on a CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/environment.sh

make_environment .
.venv/bin/python -m stylegan_jax.train configs/quickstart.py --workdir runs/quickstart "$@"
.venv/bin/python -m stylegan_jax.sample runs/quickstart --seeds 0-31 --psi 0.8 --columns 8 --outdir runs/quickstart/pictures
echo
echo "Samples: $PWD/runs/quickstart/pictures/grid.png"
