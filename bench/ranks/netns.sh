#!/bin/sh
# What exchanges cost over networks of other speeds: weft train on several hosts, which are network namespaces of this
# machine (namespaces.sh), over TCP with torchrun's variables and by mpirun, against bandwidth (tc tbf at every host's
# way out) and latency (delay_switch.py, since few kernels of virtual machines have netem). Needs root, iproute2 and
# Python; mpirun and libweft_mpi.so for its half. Every run must give the bytes of one process.
#   bench/ranks/netns.sh WEFT [--hosts 3] [--jobs "tiny minilm-r8 minilm-r64"] [--points "none:0 1gbit:0 …"]
#                        [--model models/all-minilm-l6-v2] [--data data/wn10/train.jsonl] [--json FILE]
# A point is a rate and the milliseconds of one way. Exit code 77: not possible here.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
weft=$(realpath "$1")
shift
hosts=3 jobs='tiny minilm-r8 minilm-r64' json=
points='none:0 1gbit:0 100mbit:0 10mbit:0 1gbit:1 1gbit:5 1gbit:20'
model=$root/models/all-minilm-l6-v2 data=$root/data/wn10/train.jsonl
while [ $# -gt 1 ]; do
    case $1 in
    --hosts) hosts=$2 ;;
    --jobs) jobs=$2 ;;
    --points) points=$2 ;;
    --model) model=$(realpath "$2") ;;
    --data) data=$(realpath "$2") ;;
    --json) json=$(realpath "$2") ;;
    *) echo "unknown option $1" >&2 && exit 2 ;;
    esac
    shift 2
done
# shellcheck source=bench/ranks/namespaces.sh
. "$root/bench/ranks/namespaces.sh"
missing=$(hosts_missing)
[ -z "$missing" ] || { echo "skipped: $missing"; exit 77; }
here=$(mktemp -d)
trap 'hosts_down; rm -rf "$here"' EXIT
trap 'exit 1' INT TERM
cd "$here"
export OMP_WAIT_POLICY=passive WEFT_RUN_THREADS=1
carriers=tcp
if command -v mpirun >/dev/null && [ -e "$(dirname "$weft")/libweft_mpi.so" ]; then carriers='tcp mpi'; fi

# $job.yaml; a real model has a few clients a host, so that a round is seconds.
write_job() {
    case $1 in
    tiny)
        awk 'BEGIN { for (i = 0; i < 240; i++)
            printf "{\"text\": \"the %s of %s\", \"label\": \"c%d\"}\n", i % 3 ? "word" : "time", \
                i % 2 ? "place" : "water", i % 3 }' >tiny.jsonl
        rows="train: $here/tiny.jsonl" path=$root/tests/golden/hf_bert r=8 rounds=40
        ;;
    minilm-r*)
        [ -e "$model/config.json" ] && [ -e "$data" ] || return 1
        rows="train: $data, max_train_rows: 960, max_length: 32" path=$model r=${1#minilm-r}
        rounds=$((r > 16 ? 2 : 3))
        ;;
    esac
    cat >"$1.yaml" <<END
model: {path: $path}
data: {$rows}
partition: {kind: iid}
fl: {num_clients: 12, clients_per_round: 12, num_rounds: $rounds}
lora: {r: $r, target_modules: all-linear}
client: {batch_size: 16, local_steps: 2, learning_rate: 1e-3}
eval: {every: 0}
checkpoint: {save_every: 0}
END
}

over_tcp() { # file, options
    file=$1 others=
    shift
    export MASTER_PORT=29500 WORLD_SIZE="$hosts" LOCAL_RANK=0 LOCAL_WORLD_SIZE=1
    for i in $(seq 1 $((hosts - 1))); do
        RANK=$i MASTER_ADDR=$(host_address 0) on_host "$i" "$weft" train "$file" --quiet "$@" >/dev/null &
        others="$others $!"
    done
    RANK=0 MASTER_ADDR=$(host_address 0) on_host 0 "$weft" train "$file" --quiet "$@" >/dev/null
    # shellcheck disable=SC2086
    wait $others
    unset MASTER_PORT WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE
}

over_mpi() { # file, options
    file=$1 list=$(for i in $(seq 0 $((hosts - 1))); do host_address "$i"; done | paste -sd,)
    shift
    hosts_agent "$here/agent"
    on_host 0 env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --bind-to none \
        --mca plm_rsh_agent "$here/agent" --host "$list" -n "$hosts" "$weft" train "$file" --quiet "$@" >/dev/null
}

# One line of results from rank 0's timing.jsonl, without the first round.
record() { # job, carrier, rate, delay
    python3 - "$@" "$hosts" <<'END'
import hashlib, json, os, re, sys
job, carrier, rate, delay, hosts = sys.argv[1:]
rows = [json.loads(line) for line in open("runs/x/timing.jsonl")][1:]
mean = lambda key: sum(r[key] for r in rows) / len(rows)
digest = lambda run: hashlib.sha256(open(f"runs/{run}/adapter/adapter_model.safetensors", "rb").read()).hexdigest()
assert digest("x") == digest(job), "these are not the bits of one process"
text = re.search(r"ranks: (.*)", open("runs/x/log.txt").read()).group(1)
assert f" {carrier}" in text and f"{hosts} hosts" in text, text
size = int(re.search(r"adapter: .*: ([\d,]+) numbers", open("runs/x/log.txt").read()).group(1).replace(",", ""))
row = {"job": job, "carrier": carrier, "ranks": int(hosts), "rate": rate, "delay_ms": float(delay), "adapter": size,
       "rounds": len(rows), "round_seconds": mean("seconds"), "cpu_seconds": mean("cpu_seconds"),
       "exchange_seconds": mean("exchange_seconds"), "least_exchange_seconds": min(r["exchange_seconds"] for r in rows),
       "exchange_bytes": rows[-1]["exchange_bytes"], "exchanges": rows[-1]["exchanges"],
       "share": mean("exchange_seconds") / mean("seconds"), "load": os.getloadavg()[0]}
open("rows.jsonl", "a").write(json.dumps(row) + "\n")
print(f"{job:11} {carrier:4} {rate:>8} {delay:>4} ms  round {row['round_seconds']:8.3f} s  exchanges {row['exchange_seconds']:8.3f} s"
      f"  share {100 * row['share']:5.1f} %", flush=True)
END
}

for job in $jobs; do
    write_job "$job" || { echo "left out: $job: no model or no data"; continue; }
    "$weft" train "$job.yaml" run.name="$job" --quiet >/dev/null
done
for point in $points; do
    rate=${point%:*} delay=${point#*:}
    if [ "$delay" = 0 ]; then hosts_up "$hosts"; else hosts_up "$hosts" "$delay"; fi
    for i in $(seq 0 $((hosts - 1))); do host_rate "$i" "$rate"; done
    for job in $jobs; do
        [ -e "$job.yaml" ] || continue
        for carrier in $carriers; do
            rm -rf runs/x
            over_$carrier "$job.yaml" run.name=x
            record "$job" "$carrier" "$rate" "$delay"
        done
    done
    hosts_down
done
[ -z "$json" ] || python3 - "$json" "$("$weft" info --format json)" <<'END'
import json, sys
info = json.loads(sys.argv[2])
machine = {k: info["environment"][k] for k in ("cpu", "cores_online", "kernel")}
rows = [json.loads(line) for line in open("rows.jsonl")]
with open(sys.argv[1], "w") as f:
    f.write(json.dumps({"weft": info["weft_version"], "machine": machine, "mpi": info["exchanges"]["mpi"]}, indent=1)[:-2])
    f.write(',\n "rows": [\n' + ",\n".join("  " + json.dumps(r) for r in rows) + "\n ]\n}\n")
END
