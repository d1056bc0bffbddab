#!/bin/sh
# run.device: what is refused and how, what a run says of the device that it took, and the whole program on the
# CUDA backend where this build can emulate one.
. "$(dirname "$0")/lib.sh"
build=$(dirname "$weft")
fakes=$build/tests/host/fake
unset CUDA_VISIBLE_DEVICES

refused() { # exit code, pattern, arguments
    want=$1 pattern=$2
    shift 2
    expect "$want" "$@"
    [ "$(wc -l <err)" = 1 ] || { fail "weft $*: not one line"; cat err; }
    contains err "^weft: error: $pattern"
    [ ! -s out ] || fail "weft $*: something on stdout"
}
for value in gpu cuda: cuda:x cuda:-1 'cuda:1 ' CPU; do
    refused 2 'run.device=' train job.yaml --quiet run.device="$value"
done
refused 2 '.*run.dtype' train job.yaml --quiet run.dtype=fp8
[ ! -e runs ] || fail 'a refused job left something'

# A program without a plugin beside it, whose driver sees no device, whatever this machine has.
mkdir alone
cp "$weft" alone/weft
weft=$here/alone/weft
[ -e "$fakes/driver/libcuda.so.1" ] || fail 'the stand-in driver was not built'
if ldconfig -p 2>/dev/null | grep -q 'libcuda\.so\.1'; then
    echo 'skipped: no driver: this machine has one'
else
    refused 6 'run.device=cuda, but there is no CUDA device: no NVIDIA driver (libcuda.so.1 not found); use run.device=cpu' \
        train job.yaml --quiet run.device=cuda
fi
export LD_LIBRARY_PATH="$fakes/driver" FAKE_CU_COUNT=0
none='no CUDA device: no device visible; use run.device=cpu'
for verb in train plan bench; do
    refused 6 "run.device=cuda:1, but there is $none" $verb job.yaml --quiet run.device=cuda:1 client.local_steps=4
done
refused 6 "run.device=cuda, but there is $none" train job.yaml --dry-run --quiet run.device=cuda
[ ! -e runs ] || fail 'a run folder without a device'

# auto takes the processor and says why, in the log, env.json and summary.json.
expect 0 train job.yaml run.name=auto
why='run.device=auto, no CUDA: no device visible; run.dtype=auto'
contains err "^device: cpu (.*), float32, 1 thread; $why"
contains runs/auto/log.txt "device: cpu (.*), float32, 1 thread; $why"
check_python 'a run says which device, in which dtype, and why' "$why" <<'END'
import json, sys
for name in "env", "summary":
    got = json.load(open(f"runs/auto/{name}.json"))
    assert (got["backend"], got["dtype"], got["device_reason"]) == ("cpu", "float32", sys.argv[1]), got
    assert got["backend_note"]
END
contains out 'device  *cpu, float32'
expect 0 plan job.yaml --quiet
contains out "^device  *cpu, float32; $why"
refused 6 "run.device=cuda, but there is $none" eval runs/auto --quiet run.device=cuda
expect 0 eval runs/auto
contains err "^device: cpu .*$why"
# cpu asks no driver.
FAKE_CU_COUNT=1 expect 0 train job.yaml run.name=cpu run.device=cpu
contains runs/cpu/log.txt '; run.device=cpu; run.dtype=auto'
same runs/cpu/metrics.jsonl runs/auto/metrics.jsonl
expect 0 train job.yaml run.name=ref run.device=ref run.dtype=f32 fl.num_rounds=1
contains runs/ref/log.txt 'device: ref .*; run.device=ref; run.dtype=f32'

# The real backend with its kernels emulated, as a plugin (tests/cuda/fake); needs the toolkit's headers.
if [ ! -e "$build/tests/cuda/fake/plugin/libweft_cuda.so" ]; then
    echo 'skipped: training on an emulated GPU: this build has none'
    finish
fi
if grep -q __asan_init "$weft"; then
    echo 'skipped: training on an emulated GPU: its threads are fibers, which sanitizers would have to be told of'
    finish
fi
cp "$build/tests/cuda/fake/plugin/libweft_cuda.so" alone
export FAKE_CU_COUNT=1
small='fl.num_clients=2 fl.clients_per_round=2 fl.num_rounds=1 data.max_train_rows=16'
on() { # the run's name, options
    name=$1
    shift
    # shellcheck disable=SC2086
    expect 0 train job.yaml run.name="$name" $small "$@"
}
on gpu
contains runs/gpu/log.txt 'device: cuda (.*), bfloat16, .*; run.device=auto, there is a CUDA device; run.dtype=auto'
on gpu32 run.device=cuda:0 run.dtype=f32
contains runs/gpu32/log.txt 'device: cuda (.*), float32, .*; run.device=cuda:0; run.dtype=f32'
on host run.device=cpu
check_python 'the emulated GPU trains as the processor does' <<'END'
import json
def run(name):
    return json.load(open(f"runs/{name}/summary.json"))
host = run("host")
for name, dtype, close in ("gpu32", "float32", 1e-4), ("gpu", "bfloat16", 5e-2):
    gpu = run(name)
    assert (gpu["backend"], gpu["dtype"]) == ("cuda", dtype)
    assert gpu["tokens"] == host["tokens"] and gpu["bytes_up"] == host["bytes_up"]
    a, b = gpu["federated"]["loss"], host["federated"]["loss"]
    assert abs(a - b) <= close * b, (name, a, b)
END
expect 0 eval runs/gpu32 --quiet
# Two ranks have one card here, whether there is NCCL or not.
on placed run.deterministic=placement
on shared run.deterministic=placement --ranks 2
contains err 'sums of vectors: through host memory (tcp): rank'
contains runs/shared/env.json '"sums": *"through host memory (tcp): rank'
lacks runs/placed/env.json '"sums"'
same runs/shared/clients.csv runs/placed/clients.csv
# shellcheck disable=SC2086
expect 0 bench job.yaml $small client.local_steps=4 --format json --quiet
check_python 'a benchmark counts launches' <<'END'
import json
b = json.load(open("out"))
assert b["backend"] == "cuda" and b["launches_per_step"] > 10
assert sum(p["launches"] for p in b["phases"]) > 10
END
refused 2 'there is no CUDA device 7: 1 is visible' train job.yaml --quiet run.device=cuda:7
finish
