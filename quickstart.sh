#!/usr/bin/env bash
# From a clone on a bare Debian 12 machine (root or sudo) to a federated LoRA run that a person can watch:
# installs what is missing, builds, fetches a small real encoder and real texts, trains on the CPU, and shows
# federated LoRA beside the majority class, a linear probe and training with all data in one place.
# Idempotent: what is there is not fetched or built again. Further arguments go to both runs, for example
#   ./quickstart.sh fl.strategy=fedadam partition.alpha=0.1
set -euo pipefail
cd "$(dirname "$0")"
start=$SECONDS
say() { printf '\n== %s (%d s)\n' "$*" $((SECONDS - start)); }
job=host/examples/quickstart.yaml
weft=build/weft

say 'packages'
third_party/install.sh build data

say 'build'
{ cmake --preset program && cmake --build --preset program -j "$(nproc)"; } >quickstart-build.log 2>&1 ||
    { tail -n 40 quickstart-build.log; echo 'quickstart.sh: the build failed; see quickstart-build.log' >&2; exit 1; }
"$weft" --version

say 'model and data'
third_party/fetch/minilm.sh
third_party/fetch/wn10.sh

say 'plan and partition'
"$weft" plan "$job" --quiet "$@"
echo
"$weft" partition "$job" --quiet "$@"

say 'federated LoRA: 20 clients with uneven labels, 10 in each round'
"$weft" train "$job" "$@" run.name=quickstart

say 'pooled LoRA: the same rows on one client, the same passes over them'
"$weft" train "$job" "$@" run.name=quickstart-pooled partition.kind=iid fl.num_clients=1 \
    fl.clients_per_round=1 fl.num_rounds=6 eval.every=0 eval.baselines=false

say 'result'
"$weft" compare runs/quickstart runs/quickstart-pooled --plot runs/quickstart-compare.html
echo
echo 'To look at: runs/quickstart/report.html, runs/quickstart-compare.html.'
echo 'Next: weft eval runs/quickstart, or edit host/examples/quickstart.yaml; README.md explains it line by line.'
