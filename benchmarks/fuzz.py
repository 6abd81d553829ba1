"""Reads very many damaged files of every kind and counts what comes of them.

    python -m benchmarks.fuzz --examples 20000

Every kind is read in a process of its own. A file may be read or refused by one of our
errors. Anything else is a finding, kept in `--keep`: another exception, a file that
takes more than `SLOW_SECONDS`, memory beyond `MAX_MEMORY` over what it was before, or
the end of the process. Memory is that of reading one file: what Hypothesis remembers of
thousands is not the reader's. Needs Linux.
"""

import argparse
import collections
import json
import logging
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

SLOW_SECONDS = 10
MAX_MEMORY = 256 << 20  # bytes; the files have some kilobytes


def main() -> None:
    """Prints a table, a line per kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("runs/fuzz"))
    parser.add_argument("--kinds", nargs="*", help="all by default")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.keep.mkdir(parents=True, exist_ok=True)
    if args.one:
        print(json.dumps(run(args.one, args.examples, args.seed, args.keep)))
        return
    from tests.io import hostile

    print("| kind | files | read | refused | findings | slowest | memory |")
    print("|---|---|---|---|---|---|---|")
    for name in args.kinds or hostile.kinds():
        print(_row(name, args), flush=True)


def _row(name: str, args: argparse.Namespace) -> str:
    words = ["--one", name, "--examples", args.examples, "--seed", args.seed]
    words += ["--keep", args.keep]
    command = [sys.executable, "-m", "benchmarks.fuzz", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return f"| {name} | the process ended with {done.returncode} ||||||"
    found = json.loads(done.stdout.splitlines()[-1])
    findings = found["findings"] or "none"
    return (
        f"| {name} | {found['files']:,} | {found['read']:,} | {found['refused']:,} | "
        f"{findings} | {found['slowest']:.2f} s | {found['memory'] >> 20} MB |"
    )


def run(name: str, examples: int, seed: int, keep: Path) -> dict[str, Any]:
    """Reads `examples` damaged files of a kind; what came of them."""
    import hypothesis
    from hypothesis import strategies as st

    from tests.io import damage, hostile

    kind = hostile.kinds()[name]
    counts: collections.Counter[str] = collections.Counter()
    findings: collections.Counter[str] = collections.Counter()
    slowest, most = 0.0, 0
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name) / f"a{kind.suffix}"

    def read(data: bytes) -> None:
        nonlocal slowest, most
        path.write_bytes(data)
        # Beside the findings: whatever ends the process was in this file.
        (keep / f"last_{kind.suffix[1:]}").write_bytes(data)
        before = _memory(peak=False)
        Path("/proc/self/clear_refs").write_text("5")  # begins the peak anew
        start = time.monotonic()
        signal.alarm(SLOW_SECONDS)
        try:
            kind.read(path)
            counts["read"] += 1
        except hostile.OURS:
            counts["refused"] += 1
        except Exception as error:
            finding = f"{type(error).__name__}: {error}"[:80]
            findings[finding] += 1
            number = sum(findings.values())
            (keep / f"{name} {number}{kind.suffix}").write_bytes(data)
            print(f"{name}: {finding}", file=sys.stderr)
        finally:
            signal.alarm(0)
        slowest = max(slowest, time.monotonic() - start)
        most = max(most, _memory() - before)

    logging.disable()  # of skipped images
    for data in kind.seeds:  # imports and pools are no fault of a file's
        read(data)
    counts.clear()
    slowest, most = 0.0, 0
    signal.signal(signal.SIGALRM, _too_slow)
    limit = _memory() + (4 << 30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    checks: Any = list(hypothesis.HealthCheck)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=checks,
    )
    @hypothesis.given(st.data())
    def many(data: st.DataObject) -> None:
        read(data.draw(damage.files(kind.seeds)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        many()
    folder.cleanup()
    files = counts["read"] + counts["refused"] + sum(findings.values())
    if most > MAX_MEMORY:
        findings[f"{most >> 20} MB of memory"] += 1
    listed = "; ".join(f"{count} {finding}" for finding, count in findings.items())
    return {**counts, "files": files, "findings": listed} | {
        "read": counts["read"],
        "refused": counts["refused"],
        "slowest": slowest,
        "memory": most,
    }


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"over {SLOW_SECONDS} s")


def _memory(*, peak: bool = True) -> int:
    """Memory that the process holds, or the most it has held, in bytes."""
    name = "VmHWM:" if peak else "VmRSS:"
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    main()
