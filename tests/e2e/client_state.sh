#!/bin/sh
# client.optimizer_state=keep: the same bytes whatever the slots, the pool and the file behind it; the file is
# gone afterwards; a full disk ends the run with its name.
. "$(dirname "$0")/lib.sh"

more='client.optimizer_state=keep lora.dropout=0.1 fl.num_rounds=5 fl.strategy=fedadam'
base() { # shellcheck disable=SC2086
    train "$@" $more
}
base all
for slots in 1 2 4; do
    for pool in 0 1 -1; do
        base "s${slots}p$pool" engine.slots=$slots engine.state_pool_mib=$pool
        same_run all "s${slots}p$pool"
    done
done
base threads run.threads=2 engine.slots=2 engine.pack_tokens=60 engine.state_pool_mib=0
same_run all threads
train reset fl.num_rounds=5 lora.dropout=0.1 fl.strategy=fedadam
differ runs/all/adapter/adapter_model.safetensors runs/reset/adapter/adapter_model.safetensors
lacks runs/reset/timing.jsonl state_
[ -z "$(find . -name client_state.bin)" ] || fail 'a client_state.bin was left behind'

check_python 'bytes of state in timing.jsonl' <<'END'
import json
read = lambda run: [json.loads(line) for line in open("runs/%s/timing.jsonl" % run)]
total = lambda run, key: sum(line[key] for line in read(run))
roomy, tight = read("s2p-1"), read("s2p0")
assert all(line["state_written_bytes"] == line["state_read_bytes"] == 0 for line in roomy)
assert total("s2p0", "state_written_bytes") > 0 and total("s2p0", "state_read_bytes") > 0
record = roomy[0]["state_out_bytes"] // 4  # four clients a round
assert record > 0 and record % 256 == 0
for run in ["all", "s2p-1", "s2p0", "s1p0"]:
    assert [line["state_out_bytes"] for line in read(run)] == [4 * record] * 5, run
    assert roomy[0]["state_read_bytes"] == 0
END

# What a plan says of it.
expect 0 plan job.yaml --format json --quiet client.optimizer_state=keep engine.slots=2
cp out kept.json
expect 0 plan job.yaml --format json --quiet engine.slots=2
check_python 'memory of kept state in the plan' <<'END'
import json
kept, reset = json.load(open("kept.json")), json.load(open("out"))
bank = kept["memory_bytes"]["client optimizer state, second bank"]
pool = kept["memory_bytes"]["host: client state pool"]
assert bank == kept["memory_bytes"]["client optimizer state"] == reset["memory_bytes"]["client optimizer state"]
# 6 clients and 4 that train, half a bank each and a little for the tables
assert 0 <= pool - 10 * bank // 2 < 4096 + 10 * 256, (pool, bank)
assert kept["memory_bytes_total"] - reset["memory_bytes_total"] == bank + pool
END
refused_text='client.optimizer_state=keep, but sgd without momentum has no state'
expect 2 plan job.yaml --quiet client.optimizer_state=keep client.optimizer=sgd
contains err "$refused_text"

# A disk that fills up under the file: larger adapters, so that it is the first to reach the limit.
code=0
(
    ulimit -f 200
    exec "$weft" train job.yaml run.name=full --quiet client.optimizer_state=keep engine.slots=1 \
        engine.state_pool_mib=0 lora.r=32 lora.target_modules=all-linear fl.num_rounds=5
) 2>err >/dev/null || code=$?
[ "$code" = 8 ] || fail "full disk: exit code $code, expected 8"
contains err 'client_state.bin'
[ ! -e runs/full/client_state.bin ] || fail 'a full client_state.bin was left behind'
contains runs/full/events.jsonl '"failed"'
no_leftovers
finish
