#!/bin/sh
# The same job gives the same bytes: run twice, whatever the slots, the packs and the threads. Another seed
# gives others.
. "$(dirname "$0")/lib.sh"

more='lora.dropout=0.1 partition.kind=dirichlet fl.strategy=fedadam'
base() { # shellcheck disable=SC2086
    train "$@" $more
}
base first
base again
same_run first again
for slots in 1 3 8; do
    base "slots$slots" engine.slots=$slots
    same_run first "slots$slots"
done
for pack in 1 60 100000; do
    base "pack$pack" engine.pack_tokens=$pack
    same_run first "pack$pack"
done
for threads in 2 3; do
    base "threads$threads" run.threads=$threads
    same_run first "threads$threads"
done
base mixed run.threads=2 engine.slots=2 engine.pack_tokens=70
same_run first mixed

# What only looks costs no bit of what trains.
base looking eval.clients_every=1 eval.baselines=true
same runs/first/adapter/adapter_model.safetensors runs/looking/adapter/adapter_model.safetensors

base other run.seed=1
for f in adapter/adapter_model.safetensors metrics.jsonl rounds.csv clients.csv partition.json; do
    differ runs/first/$f runs/other/$f
done

# A run repeats from what it left: its resolved configuration alone.
expect 0 train runs/first/config.resolved.yaml run.name=resolved --quiet
same_run first resolved
# And from the split it left.
base split partition.file=runs/first/partition.json
for f in adapter/adapter_model.safetensors metrics.jsonl clients.csv; do same runs/first/$f runs/split/$f; done
no_leftovers
finish
