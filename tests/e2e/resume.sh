#!/bin/sh
# Exact resume (R2): a run that is killed or stopped, however often and wherever, ends with the bytes of one that was
# never interrupted; and what must not be gone on with is refused.
. "$(dirname "$0")/lib.sh"

# summary.json, times apart.
same_summary() {
    check_python "summary of $1 and $2" "runs/$1/summary.json" "runs/$2/summary.json" <<'END'
import json, sys
a, b = (json.load(open(p)) for p in sys.argv[1:])
skip = {"name", "folder", "seconds_train", "seconds_total"}
# What is a matter of memory or time, not of the result.
same = lambda o: {k: v for k, v in o.items() if k not in skip and "rss" not in k and "bytes_peak" not in k}
assert same(a) == same(b), {k: (a.get(k), b.get(k)) for k in set(a) | set(b) if a.get(k) != b.get(k)}
END
}

i=0
while [ "$i" -lt 30 ]; do cat train.jsonl; i=$((i + 1)); done >long.jsonl

plain='fl.num_rounds=300 checkpoint.save_every=7 eval.every=5 fl.strategy=fedadam client.lr_scheduler=cosine'
kept='fl.num_rounds=250 checkpoint.save_every=9 eval.every=6 eval.clients_every=4 client.optimizer_state=keep
      engine.slots=1 engine.state_pool_mib=0 fl.strategy=fedavgm fl.sampling=pass eval.baselines=true'
slow='fl.num_rounds=40 checkpoint.save_every=3 data.test=long.jsonl eval.clients_every=2'
train plain $plain
train kept $kept
train slow $slow

interrupted KILL plain-kill $plain
same_run plain plain-kill
same_summary plain plain-kill
interrupted TERM plain-term $plain
same_run plain plain-term
interrupted KILL kept-kill $kept
same_run kept kept-kill
same_summary kept kept-kill
interrupted USR1 kept-usr1 $kept
same_run kept kept-usr1
same_summary kept kept-usr1
no_leftovers

stopped_in_evaluations slow slow-int $slow
same_summary slow slow-int

# ---- what a checkpoint is ----
[ "$(ls runs/plain/checkpoints | tr '\n' ' ')" = 'latest round_000294 round_000300 ' ] ||
    fail "checkpoints: $(ls runs/plain/checkpoints)"
same runs/plain/checkpoints/latest/adapter_model.safetensors runs/plain/adapter/adapter_model.safetensors
expect 0 eval job.yaml --adapter runs/plain/checkpoints/latest --quiet
train all checkpoint.save_every=1 checkpoint.save_total_limit=0 fl.num_rounds=5
[ "$(ls runs/all/checkpoints | wc -l)" = 6 ] || fail 'save_total_limit=0 does not keep all'
train none checkpoint.save_every=0 fl.num_rounds=5
[ ! -e runs/none/checkpoints ] || fail 'save_every=0 saves'
same_run all none

# From a path: the run's folder without a job file, an older checkpoint, more rounds than before.
cp -r runs/all runs/older
expect 0 train --resume runs/older/checkpoints/round_000002 --quiet
same_run all older
[ "$(ls runs/older/checkpoints | wc -l)" = 6 ] || fail 'checkpoints were not made again'
train more fl.num_rounds=8
expect 0 train --resume runs/older/ --quiet fl.num_rounds=8
same_run more older
contains runs/older/command.txt 'run.name=all'
contains runs/older/command.txt 'resume'
contains runs/older/events.jsonl '"event": "resume", "round": 5'

# A damaged checkpoint is passed over, and the end is the same.
cp -r runs/all runs/damaged
printf 'x' | dd of=runs/damaged/checkpoints/round_000005/state.safetensors bs=1 seek=2000 conv=notrunc 2>dd.err
: >runs/damaged/checkpoints/round_000004/state.json
expect 0 train --resume runs/damaged fl.num_rounds=8
contains err 'passing over .*round_000005: .*checksum'
contains err 'passing over .*round_000004'
contains err 'resumed after round 3 of 8'
same_run more damaged
rm -rf runs/damaged/checkpoints/*/state.json
expect 7 train --resume runs/damaged fl.num_rounds=9
contains err '^weft: error: .*state.json'

# ---- what is refused ----
refused() { # text, options…
    text=$1
    shift
    expect 7 train job.yaml run.name=all --resume auto "$@"
    [ "$(grep -c '^weft: error: ' err)" = 1 ] || fail "not one line of error: $(cat err)"
    contains err "$text"
}
cp -r runs/all kept-as-it-was
five='fl.num_rounds=5 checkpoint.save_every=1 checkpoint.save_total_limit=0'
refused 'client.learning_rate=0.001, now it is 0.002' $five client.learning_rate=0.002
refused 'run.seed=0, now it is 1' $five run.seed=1
refused 'data.text_column=text, now it is pair' $five data.text_column=pair
refused 'computed in float32' $five run.dtype=bf16 run.device=ref
sed 's/very/not/' train.jsonl >other.jsonl
refused 'the set of training rows is not' $five data.train=other.jsonl
refused 'the set of test rows is not' $five data.test=other.jsonl
diff -r kept-as-it-was runs/all >diff.out || true
lacks diff.out 'metrics.jsonl\|clients.csv\|rounds.csv\|state\|adapter'
# A schedule that depends on the number of rounds fixes it.
train linear client.lr_scheduler=linear fl.num_rounds=4
expect 7 train --resume runs/linear fl.num_rounds=6
contains err 'fl.num_rounds=4, now it is 6'
# A file that was cut.
cp -r runs/all runs/cut
: >runs/cut/metrics.jsonl
expect 7 train --resume runs/cut fl.num_rounds=6
contains err 'metrics.jsonl has 0 bytes, it had'
expect 7 train --resume nowhere
expect 7 train --resume .
contains err 'neither a run folder nor one of its checkpoints'
expect 7 train --resume runs/none
contains err 'holds no checkpoint'
expect 2 train job.yaml --resume auto
contains err 'needs run.name'

# ---- beginnings ----
# What ended without a checkpoint is not thrown away.
cp runs/none/metrics.jsonl before
expect 8 train job.yaml run.name=none --resume auto --quiet fl.num_rounds=6
contains err 'has ended and left no checkpoint'
same before runs/none/metrics.jsonl
# Killed before its first checkpoint: begun anew, in the same folder.
"$weft" train job.yaml run.name=young fl.num_rounds=5 client.local_steps=200000 --quiet >out 2>err &
pid=$!
waited=0
while [ ! -s runs/young/log.txt ] && [ "$waited" -lt 200 ]; do waited=$((waited + 1)); sleep 0.05; done
# Meanwhile nobody else may work there.
expect 8 train job.yaml run.name=young --resume auto
contains err 'another process holds runs/young/.lock'
kill -s KILL $pid
wait $pid 2>wait.err || :
touch runs/young/summary.json.tmp-1-0
expect 0 train job.yaml run.name=young --resume auto --quiet fl.num_rounds=5 checkpoint.save_every=1
same_run all young
expect 8 train job.yaml run.name=young --quiet
contains err 'resume auto'
# Stopped before the first round: a checkpoint of round 0.
"$weft" train job.yaml run.name=early fl.num_rounds=5 client.local_steps=100000000 checkpoint.save_every=0 >out 2>err &
pid=$!
waited=0
while [ ! -s runs/early/log.txt ] && [ "$waited" -lt 200 ]; do waited=$((waited + 1)); sleep 0.05; done
kill -s USR1 $pid
code=0
wait $pid 2>wait.err || code=$?
[ "$code" = 75 ] || fail "early: exit code $code"
[ -e runs/early/checkpoints/round_000000/state.json ] || fail 'no checkpoint of the start'
finish
