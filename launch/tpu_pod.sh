#!/usr/bin/env bash
# Trains on a slice of Cloud TPU hosts, and starts again whenever it is preempted.
#
#   bash launch/tpu_pod.sh NAME ZONE TYPE BUCKET RECIPE [flags of train]
#   bash launch/tpu_pod.sh faces us-central2-b v4-32 gs://mine configs/ffhq1024.py \
#       --data.name pyramid --data.path /mnt/run/ffhq
#
# The bucket is mounted on every host at /mnt/run and keeps the run in /mnt/run/NAME, so
# that a new slice continues it. It has to hold the code as code.tar.gz:
#   git archive HEAD --format tar.gz | gcloud storage cp - gs://mine/code.tar.gz
#
# DRY_RUN=1 prints the commands. SPOT=0 asks for a slice that is not preempted;
# RETRY_SECONDS is the pause after a failure; PREPARE is run on every host before
# anything else, to install gcsfuse where the hosts lack it. Needs gcloud, logged in.
set -euo pipefail

if [ $# -lt 5 ]; then
  sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
name=$1 zone=$2 type=$3 bucket=$4
shift 4
for word in "$name" "$zone" "$type" "${bucket#gs://}"; do
  if [[ ! $word =~ ^[a-z0-9][a-z0-9._-]*$ ]]; then
    echo "error: '$word' is not a name of Google Cloud's (a-z, 0-9, -)" >&2
    exit 2
  fi
done
bucket=${bucket#gs://}
retry=${RETRY_SECONDS:-60}
software=${TPU_SOFTWARE:-tpu-ubuntu2204-base}

run() {
  if [ "${DRY_RUN:-0}" = 1 ]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

tpu() { run gcloud compute tpus tpu-vm "$1" "$name" --zone "$zone" "${@:2}"; }

# READY, PREEMPTED, ...; nothing if there is no such slice.
state() {
  if [ "${DRY_RUN:-0}" = 1 ]; then return; fi
  gcloud compute tpus tpu-vm describe "$name" --zone "$zone" \
    --format 'value(state)' 2>/dev/null || true
}

create() {
  local options=(--accelerator-type "$type" --version "$software")
  if [ "${SPOT:-1}" = 1 ]; then options+=(--spot); fi
  tpu create "${options[@]}"
}

on_all_hosts() { tpu ssh --worker all --command "$1"; }

# Run on every host, as often as it likes.
install="set -e
${PREPARE:-true}
mountpoint -q /mnt/run || {
  sudo mkdir -p /mnt/run && sudo chown \$USER /mnt/run
  gcsfuse --implicit-dirs $bucket /mnt/run; }
mkdir -p code && tar -xzf /mnt/run/code.tar.gz -C code && cd code
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --editable '.[tpu]'"

printf -v arguments '%q ' "$@" --workdir "/mnt/run/$name" --distributed auto
train="cd code && exec .venv/bin/python -m stylegan_jax.train $arguments"

failures=0 # in a row, on a slice that was not taken away
while true; do
  case $(state) in
    READY) ;;
    '') create || { run sleep "$retry"; continue; } ;;
    PREEMPTED | TERMINATED | STOPPED | FAILED)
      echo "the slice was taken away; asking for another" >&2
      failures=0
      tpu delete --quiet || run sleep "$retry"
      continue
      ;;
    *) # being made, or on its way out
      run sleep "$retry"
      continue
      ;;
  esac
  status=0
  started=$SECONDS
  on_all_hosts "$install" && on_all_hosts "$train" || status=$?
  if [ "$status" = 0 ]; then break; fi
  # gcloud does not pass on what a command ended with.
  if ((SECONDS - started < 600)) && [ "$(state)" = READY ]; then
    failures=$((failures + 1))
  else
    failures=0
  fi
  if ((failures == 3)); then
    echo "error: failed three times at once, see above; the slice is kept" >&2
    exit 1
  fi
  echo "ended with status $status; trying again in $retry s" >&2
  run sleep "$retry"
done
tpu delete --quiet
