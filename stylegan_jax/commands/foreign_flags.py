"""Equivalents of other programs' flags."""

import re
import sys
from collections.abc import Sequence

# What flags of NVlabs' scripts and others are called here, or why there are none.
FLAGS = {
    "--trunc": "--psi",
    "--truncation-psi": "--psi",
    "--noise-mode": "--noise",
    "--network-pkl": "the network comes first, without a flag",
    "--network": "the network comes first, without a flag",
    "--pkl": "the network comes first, without a flag",
    "--ckpt": "the network comes first, without a flag",
    "--target": "the pictures come first, without a flag",
    "--num-steps": "--steps",
    "--save-video": "--video",
    "--projected-w": "a file of codes is an input of python -m stylegan_jax.edit",
    "--outdir": "--workdir",
    "--workdir": "--outdir",
    "--resume": "the same command with the same --workdir goes on where a run stopped",
    "--gpus": "all devices are used; CUDA_VISIBLE_DEVICES=0,1 chooses some",
    "--cfg": "the recipe comes first, without a flag",
    "--data": "--data.path",
    "--res": "--model.resolution",
    "--resolution": "--model.resolution",
    "--kimg": "--schedule.total-kimg",
    "--batch": "--schedule.batch-size",
    "--batch-size": "--schedule.batch-size",
    "--gamma": "--loss.r1-gamma",
    "--lr": "--optimizer.learning-rate",
    "--learning-rate": "--optimizer.learning-rate",
    "--mirror": "--data.mirror",
    "--cond": "--data.labels",
    "--snap": "--checkpoint.every-kimg",
    "--seed": "--run.seed",
    "--fp32": "--model.dtype float32",
}


def explain(words: Sequence[str], usage: str) -> None:
    """Prints equivalents of other programs' flags that `usage` has."""
    known = set(re.findall(r"--[\w.-]+", usage))
    for flag in dict.fromkeys(re.split("[= ]", word)[0] for word in words):
        name = flag.replace("_", "-")
        ours = FLAGS.get(name)
        if ours is None or name in known:
            continue
        if not ours.startswith("--"):
            print(f"{flag}: {ours}", file=sys.stderr)
        elif ours.split()[0] in known:
            print(f"{flag} is {ours} here", file=sys.stderr)
