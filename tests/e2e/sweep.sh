#!/bin/sh
# `sweep:` in a job file and weft sweep: points in order, one run each that weft train would make too, going on after
# a signal and after kill -9, points that fail, the table, and sections that are refused before anything runs.
. "$(dirname "$0")/lib.sh"

cp job.yaml base.yaml
cat >lr.yaml <<END
$(cat base.yaml)
sweep:
  list:
    - {lora.r: 4, lora.alpha: 8}
    - lora:
        r: 2
  grid:
    client:
      learning_rate: [1e-2, 0.001]
    fl.strategy: [fedavg, fedadam]
END

# ---- what there is
expect 0 sweep lr.yaml --count
[ "$(cat out)" = 8 ] || fail "--count: $(cat out)"
expect 0 sweep lr.yaml --list
cat >want <<'END'
lora.r=4 lora.alpha=8 client.learning_rate=0.01 fl.strategy=fedavg
lora.r=4 lora.alpha=8 client.learning_rate=0.01 fl.strategy=fedadam
lora.r=4 lora.alpha=8 client.learning_rate=0.001 fl.strategy=fedavg
lora.r=4 lora.alpha=8 client.learning_rate=0.001 fl.strategy=fedadam
lora.r=2 client.learning_rate=0.01 fl.strategy=fedavg
lora.r=2 client.learning_rate=0.01 fl.strategy=fedadam
lora.r=2 client.learning_rate=0.001 fl.strategy=fedavg
lora.r=2 client.learning_rate=0.001 fl.strategy=fedadam
END
same out want
expect 0 sweep lr.yaml --list --format json
check_python '--list --format json' <<'END'
import json
points = json.load(open("out"))
assert [p["task"] for p in points] == list(range(8))
assert len({p["folder"] for p in points}) == 8
assert points[5] == {"task": 5, "folder": "runs/lr/r-2_learning_rate-0.01_strategy-fedadam",
                     "point": {"lora.r": "2", "client.learning_rate": "0.01", "fl.strategy": "fedadam"}}
END
[ ! -e runs ] || fail 'listing points made a folder'

# ---- several of it would run every point several times
code=0
RANK=1 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=9999 "$weft" sweep lr.yaml >out 2>err || code=$?
[ $code = 2 ] || fail "two sweeps by a launcher: exit code $code, expected 2"
contains err 'torchrun started 2 of weft sweep'

# ---- one task, as in a Slurm array
expect 0 sweep lr.yaml --task 5
contains err 'point 6 of 8: lora.r=2 client.learning_rate=0.01 fl.strategy=fedadam'
lacks err 'holds a sweep'
five=runs/lr/r-2_learning_rate-0.01_strategy-fedadam
[ "$(ls runs/lr)" = "${five#runs/lr/}" ] || fail "--task 5 left $(ls runs/lr)"
# Its bytes are those of weft train with the point's words.
expect 0 train base.yaml $(sed -n 6p want) run.name=alone --quiet
for f in metrics.jsonl adapter/adapter_model.safetensors; do same "$five/$f" "runs/alone/$f"; done
expect 0 sweep lr.yaml --task 5
contains err 'done before'
[ "$(grep -c '"start"' "$five/events.jsonl")$(grep -c '"resume"' "$five/events.jsonl")" = 10 ] ||
    fail 'a point that had ended ran again'
expect 2 sweep lr.yaml --task 8
contains err 'has 8 points, from 0 to 7'
expect 0 sweep lr.yaml --collect
contains out '^1 of 8 points in runs/lr; without a summary: task 0, 1, 2, 3, 4, 6, 7$'

# ---- all of them
expect 0 sweep lr.yaml
[ "$(ls runs/lr | wc -l)" = 8 ] || fail "folders: $(ls runs/lr)"
check_python 'the table' <<'END'
rows = [line.split() for line in open("out")]
head = "task lora.r lora.alpha client.learning_rate fl.strategy rounds accuracy loss".split()
assert rows[0][:8] == head, rows[0]
assert [r[0] for r in rows[1:]] == list("01234567"), rows
assert [r[1:3] for r in rows[1:]] == [["4", "8"]] * 4 + [["2", "16"]] * 4, rows
END
cp out table
expect 0 sweep lr.yaml run.threads=2 checkpoint.save_every=0 # which change no result
[ "$(grep -c 'done before' err)" = 8 ] || fail 'the second call ran points again'
same out table
expect 0 sweep lr.yaml --collect --format json
check_python 'collected as JSON' <<'END'
import json
runs = json.load(open("out"))
assert [r["task"] for r in runs] == list(range(8))
assert runs[2]["point"]["client.learning_rate"] == "0.001" and runs[2]["rounds_done"] == 2
END
expect 7 sweep lr.yaml client.batch_size=8 --task 5 # which would
contains err 'client.batch_size=4, now it is 8'
expect 0 compare runs/lr/*
expect 0 report runs/lr/*
expect 0 train --resume "$five" fl.num_rounds=3 --quiet
# A value more: only what is new runs.
sed 's/\[1e-2, 0.001\]/[1e-2, 0.001, 3e-3]/' lr.yaml >more.yaml
expect 0 sweep more.yaml run.name=lr
[ "$(grep -c 'done before' err)" = 7 ] || fail 'a longer sweep ran points again' # one went further by hand
[ "$(ls runs/lr | wc -l)" = 12 ] || fail "folders: $(ls runs/lr)"

# ---- tasks at the same time, as on several machines, collected all the while
pids=
for task in 0 1 2 3; do
    "$weft" sweep lr.yaml run.name=array --task $task --quiet >"out.$task" 2>"err.$task" &
    pids="$pids $!"
done
for i in 1 2 3 4 5 6 7 8; do expect 0 sweep lr.yaml run.name=array --collect; done
for pid in $pids; do wait $pid || { fail 'a task beside others failed'; cat err.?; }; done
expect 0 sweep lr.yaml run.name=array --collect
contains out '^4 of 8 points in runs/array; without a summary: task 4, 5, 6, 7$'
for run in runs/array/*; do same "$run/metrics.jsonl" "runs/lr/${run#runs/array/}/metrics.jsonl"; done

# ---- other commands
expect 0 train lr.yaml run.name=plain --quiet
train base
same runs/plain/metrics.jsonl runs/base/metrics.jsonl
expect 0 plan lr.yaml
[ "$(grep -c 'holds a sweep of 8 points' err)" = 1 ] || fail 'plan does not say that it leaves the sweep alone'
expect 0 config lr.yaml
lacks out '^ *sweep'
expect 2 sweep base.yaml
contains err 'base.yaml has no sweep'
expect 2 sweep lr.yaml lora.r=8
contains err 'lora.r is one of the options that lr.yaml sweeps'
expect 2 sweep lr.yaml --count --list
expect 2 sweep lr.yaml --task -1
expect 8 sweep lr.yaml run.name=plain
contains err 'runs/plain is the folder of a run'

# ---- stopped and killed on the way
cat >long.yaml <<END
$(cat base.yaml)
checkpoint: {save_every: 3}
sweep:
  grid:
    lora.r: [2, 4]
    fl.num_rounds: [60, 90]
END
expect 0 sweep long.yaml run.name=whole --quiet
for signal in USR1 KILL; do
    times=0
    while [ "$times" -lt 60 ]; do
        "$weft" sweep long.yaml run.name="$signal" --quiet >out 2>err &
        pid=$!
        pause 10 $((30 + 15 * times))
        kill -s $signal $pid 2>kill.err || :
        code=0
        wait $pid 2>wait.err || code=$?
        [ "$code" != 0 ] || break
        case $signal$code in
        KILL137 | USR175) ;;
        *) fail "$signal: exit code $code"; cat err; break ;;
        esac
        [ $signal = KILL ] || contains err 'the sweep stopped at point'
        times=$((times + 1))
    done
    [ "$code" = 0 ] && [ "$times" -gt 1 ] || fail "$signal: code $code after $times times"
    for run in runs/whole/*; do
        run=${run#runs/whole/}
        same "runs/whole/$run/metrics.jsonl" "runs/$signal/$run/metrics.jsonl"
        same "runs/whole/$run/adapter/adapter_model.safetensors" "runs/$signal/$run/adapter/adapter_model.safetensors"
    done
    printf 'sweep: %s times SIG%s\n' "$times" "$signal"
done
no_leftovers

# A run that gets the signal of the sweep too, as from Slurm, still makes its checkpoint.
cat >endless.yaml <<END
$(cat base.yaml)
sweep: {grid: {fl.num_rounds: [100000, 100001]}}
END
"$weft" sweep endless.yaml --quiet >out 2>err &
pid=$!
waited=0
while [ ! -s runs/endless/num_rounds-100000/metrics.jsonl ] && [ "$waited" -lt 200 ]; do
    waited=$((waited + 1))
    sleep 0.1
done
child=$(cat "/proc/$pid/task/$pid/children" 2>proc.err) || : # not every kernel tells
kill -s USR1 $child $pid
kill -s USR1 $pid 2>kill.err || : # batch systems repeat it
code=0
wait $pid || code=$?
[ "$code" = 75 ] || { fail "both signalled: exit code $code"; cat err; }
contains runs/endless/num_rounds-100000/summary.json '"stopped_by_signal": 1'
[ -e runs/endless/num_rounds-100000/checkpoints/latest/state.json ] || fail 'no checkpoint after both were signalled'
[ ! -e runs/endless/num_rounds-100001 ] || fail 'a stopped sweep began another point'

# ---- a point that fails
cat >fails.yaml <<END
$(cat base.yaml)
client.optimizer: sgd
sweep:
  list: [{client.learning_rate: 0.1}, {client.learning_rate: 1000, client.max_grad_norm: 0}, {data.train: none.csv}, {}]
END
expect 5 sweep fails.yaml fl.num_rounds=4
contains err 'point 2 of 4: client.learning_rate=1000.* failed, exit code 5'
contains err 'point 3 of 4: data.train=none.csv failed, exit code 3'
contains err '2 of 4 points failed, the first of them point 2'
contains out '^2 of 4 points in runs/fails; without a summary: task 1, 2$'
[ -e runs/fails/base/summary.json ] || fail 'the point after those that failed did not run'
expect 5 sweep fails.yaml fl.num_rounds=4 --task 1

# ---- refused before anything runs
rm -rf runs
refused() { # place and words, then the lines of the section
    text=$1
    shift
    { printf 'model.path: x\n'; printf '%s\n' "$@"; } >bad.yaml
    for verb in sweep train; do
        expect 2 $verb bad.yaml
        contains err "^weft: error: bad.yaml:$text"
    done
}
refused '2:1: the sweep names no option' 'sweep: {}'
refused '2:8: sweep takes a mapping' 'sweep: 3'
refused '3:3: unknown key .sweep.gird' 'sweep:' '  gird: {lora.r: [1]}'
refused '3:20: .*lora.rr' 'sweep:' '  grid: {lora.rr: [1]}'
refused '3:18: sweep.grid.lora.r takes a list of values, such as .8.' 'sweep:' '  grid: {lora.r: 8}'
refused '3:22: .*lora.r' 'sweep:' '  grid: {lora.r: [1, many]}'
refused '3:22: the value 8 is given twice' 'sweep:' '  grid: {lora.r: [8, 08]}'
refused '3:18: .*empty' 'sweep:' '  grid: {lora.r: []}'
refused '4:19: a point would set lora.r twice' 'sweep:' '  grid: {lora.r: [1]}' '  list: [{lora.r: 2}]'
refused '3:23: the same as entry 1' 'sweep:' '  list: [{lora.r: 2}, {lora: {r: 2}}]'
refused '3:10: an entry of sweep.list is a mapping' 'sweep:' '  list: [lora.r]'
refused '3:21: run.name cannot be swept' 'sweep:' '  grid: {run.name: [a]}'
refused '2:1: .*more than 10000 points' 'sweep:' "  grid: {run.seed: [$(seq -s, 101)], lora.r: [$(seq -s, 100)]}"
# Options that do not fit together.
printf 'model.path: x\nsweep: {grid: {fl.num_clients: [9, 3]}}\nfl.clients_per_round: 5\n' >bad.yaml
expect 2 sweep bad.yaml
contains err 'point 2 of 2 (fl.num_clients=3): fl.clients_per_round=5 is more than fl.num_clients=3'
[ ! -e runs ] || fail 'a refused sweep made a folder'
finish
