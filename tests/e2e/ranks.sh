#!/bin/sh
# Training over several processes: the files are those of one process, byte for byte, and whatever befalls a rank ends
# the job on all of them, in time, with its name, and with what was saved before.
. "$(dirname "$0")/lib.sh"
export TMPDIR="$here"

# ---- the same bytes
fedadam='fl.strategy=fedadam fl.num_rounds=4 lora.dropout=0.1 eval.clients_every=2'
fdaopt='fl.sync=fda-opt fl.num_rounds=4'
fda='fl.sync=fda fda.theta=3e-3 fl.num_rounds=4' # clients keep their optimizer's state
keep='client.optimizer_state=keep fl.num_rounds=5 engine.slots=1 engine.state_pool_mib=0'
for job in fedadam fdaopt fda keep; do
    eval "options=\$$job" # shellcheck disable=SC2154
    train $job-1 $options
    for n in 2 3 5; do
        train $job-$n $options --ranks $n
        same_run $job-1 $job-$n
        same runs/$job-1/checkpoints/latest/state.safetensors runs/$job-$n/checkpoints/latest/state.safetensors
    done
done
contains runs/fedadam-3/events.jsonl '"ranks": *"3 ranks on 1 host, tcp, started by rank 0"'
contains runs/fedadam-3/log.txt 'ranks: 3 ranks on 1 host, tcp'
contains runs/fedadam-3/summary.json '"ranks": *"3 ranks on 1 host, tcp'
lacks runs/fedadam-1/summary.json '"ranks"'
lacks runs/fedadam-1/events.jsonl '"ranks"'
contains runs/fedadam-5/log.txt '5 ranks, but 4 clients in a round'
no_leftovers

# ---- stopped by signals, on any rank, and gone on with by others
rank_of() { # pid of rank 0, rank: started one after the other
    pgrep -P "$1" | sort -n | sed -n "$2p"
}
begin() { # name, ranks, options…
    name=$1 ranks=$2
    shift 2
    "$weft" train job.yaml run.name="$name" --ranks "$ranks" fl.num_rounds=3000 eval.every=0 checkpoint.save_every=5 \
        run.comm_timeout=3 checkpoint.save_total_limit=0 "$@" >out 2>err &
    first=$!
    waited=0
    until [ -e "runs/$name/metrics.jsonl" ] && [ "$(wc -l <"runs/$name/metrics.jsonl")" -ge 20 ]; do
        waited=$((waited + 1))
        [ $waited -lt 600 ] || { fail "$name did not begin"; cat err; return 0; }
        sleep 0.05
    done
}
finish_in() { # seconds, exit code
    started=$(date +%s)
    code=0
    wait $first 2>wait.err || code=$?
    took=$(($(date +%s) - started))
    [ $code = "$2" ] || { fail "$name: exit code $code, expected $2"; cat err; }
    [ $took -le "$1" ] || fail "$name: took $took s, at most $1 expected"
    waited=0 # nobody is left behind
    while pgrep -f "run.name=$name " >left; do
        waited=$((waited + 1))
        [ $waited -lt 100 ] || { fail "$name: processes are left"; pkill -KILL -f "run.name=$name " || :; }
        sleep 0.1
    done
}
once() { # text: one rank alone tells
    [ "$(grep -c '^weft: error: ' err)" = 1 ] || { fail "$name: not one error line"; cat err; }
    contains err "$1"
}
more='client.optimizer_state=keep engine.slots=2'
for case in 0-TERM 2-USR1 1-TERM; do
    begin stop-$case 3 $more
    case $case in 0-*) pid=$first ;; *) pid=$(rank_of $first ${case%-*}) ;; esac
    send "${case#*-}" "$pid"
    finish_in 20 75
    once 'stopped by signal 1[05] after'
done
rounds=$(($(wc -l <runs/stop-2-USR1/metrics.jsonl) + 7))
rm -rf runs/whole
train whole $more fl.num_rounds=$rounds eval.every=0
expect 0 train --resume runs/stop-2-USR1 fl.num_rounds=$rounds --ranks 2 --quiet
same_run whole stop-2-USR1
rounds=$(($(wc -l <runs/stop-1-TERM/metrics.jsonl) + 3))
train whole2 $more fl.num_rounds=$rounds eval.every=0
expect 0 train --resume runs/stop-1-TERM fl.num_rounds=$rounds --quiet
same_run whole2 stop-1-TERM

# ---- killed, stopped, crashed
begin killed 3
sleep 1 # in which it says what it does
kill -KILL "$(rank_of $first 2)"
finish_in 10 6
once 'rank 2 (.*) was lost: its connection closed'
contains err 'last seen in round [0-9]*, training'
contains runs/killed/events.jsonl '"failed"'
# Its last checkpoint is good.
rounds=$(($(ls -d runs/killed/checkpoints/round_* | sed 's/.*round_0*//' | sort -n | tail -n 1) + 2))
train whole3 fl.num_rounds=$rounds eval.every=0
expect 0 train --resume runs/killed fl.num_rounds=$rounds --ranks 2 --quiet
same_run whole3 killed

begin silent 3
kill -STOP "$(rank_of $first 1)"
finish_in 20 6
once 'rank 1 (.*) was lost: silent for 3 s'

begin first-killed 3
others=$(pgrep -P $first)
kill -KILL $first
finish_in 10 137
for pid in $others; do
    waited=0
    while kill -0 "$pid" 2>kill.err && [ $waited -lt 50 ]; do
        waited=$((waited + 1))
        sleep 0.1
    done
    [ $waited -lt 50 ] || fail 'a rank outlived rank 0'
done

# Rank 0 stands still: the others do not wait for it.
begin first-silent 2
other=$(pgrep -P $first)
kill -STOP $first
waited=0
while kill -0 "$other" 2>kill.err && ! grep -q '^State:.*Z' "/proc/$other/status" && [ $waited -lt 200 ]; do
    waited=$((waited + 1))
    sleep 0.1
done
[ $waited -lt 200 ] || fail 'rank 1 waits for a rank 0 that stands still'
contains err 'rank 0 (.*) was lost: silent for 3 s'
kill -CONT $first
finish_in 10 6

# ---- a rank that fails where the others do not: its own error, everywhere, with its exit code
rank() { # rank, size, port, options… : by torchrun's variables
    RANK=$1 WORLD_SIZE=$2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$3 TORCHELASTIC_RUN_ID=$name
    export RANK WORLD_SIZE MASTER_ADDR MASTER_PORT TORCHELASTIC_RUN_ID
    shift 3
    exec "$weft" train job.yaml run.name="$name" run.comm_timeout=3 --quiet "$@"
}
port=$((20000 + $$ % 9000))
two() { # expected exit code of rank 1, of rank 0, options of rank 1…
    want1=$1 want0=$2
    shift 2
    port=$((port + 1))
    (rank 0 2 $port) >out0 2>err0 &
    zero=$!
    code=0
    (rank 1 2 $port "$@") >out1 2>err1 || code=$?
    [ $code = "$want1" ] || { fail "$name: exit code of rank 1 is $code, expected $want1"; cat err1; }
    code=0
    wait $zero || code=$?
    [ $code = "$want0" ] || { fail "$name: exit code of rank 0 is $code, expected $want0"; cat err0; }
    [ ! -s out1 ] || fail "$name: rank 1 prints a result"
}
name=together
two 0 0
train alone
same_run alone together
name=options
two 2 2 client.learning_rate=0.5
contains err1 "client.learning_rate is '0.5' here and '.*' on rank 0"
contains err0 "rank 1: client.learning_rate is '0.5' here"
name=rows
sed '1s/label": [0-9]/label": 1/; 2s/good/bad/' train.jsonl | tail -n +2 >other.jsonl
two 3 3 data.train=other.jsonl
contains err0 'rank 1: the .* not the same here as on rank 0'
name=norows
two 3 3 data.train=none.jsonl
contains err1 'none.jsonl'
contains err0 'rank 1: .*none.jsonl'
cp -r runs/alone/adapter changed
name=adapter
two 3 3 lora.init_from=changed
contains err0 'rank 1: the adapter to start from is not the same'
[ ! -e runs/adapter/metrics.jsonl ] || [ ! -s runs/adapter/metrics.jsonl ] || fail 'it trained all the same'
name=build
cp "$weft" ./another
printf 'x' >>another
weft_was=$weft
port=$((port + 1))
(rank 0 2 $port) >out0 2>err0 &
zero=$!
code=0
(weft=./another; rank 1 2 $port) >out1 2>err1 || code=$?
[ $code = 2 ] || { fail "another build: exit code $code, expected 2"; cat err1; }
wait $zero || code=$?
contains err0 'rank 1: its program is of another build'
name=lonely
code=0
(rank 0 2 $((port + 1)) run.comm_timeout=2) >out 2>err || code=$?
[ $code = 6 ] || fail "alone of two: exit code $code, expected 6"
contains err '1 of 2 ranks have come within 10 s; missing: 1'

# ---- disks: rank 0 alone writes, and its failure is everybody's
code=0
(
    ulimit -f 100
    exec "$weft" train job.yaml run.name=full --ranks 2 --quiet fl.num_rounds=20000 eval.every=0 run.comm_timeout=3
) 2>err >/dev/null || code=$?
[ "$code" = 8 ] || { fail "full disk: exit code $code, expected 8"; cat err; }
[ "$(grep -c '^weft: error: ' err)" = 1 ] || { fail 'full disk: not one error line'; cat err; }

# Stopped, and no room for the checkpoint: no rank may say that there is one.
rounds_of() { [ -e "runs/$1/metrics.jsonl" ] && [ "$(wc -l <"runs/$1/metrics.jsonl")" -ge 20 ]; }
name=cramped
port=$((port + 1))
cramped='fl.num_rounds=100000 eval.every=0 checkpoint.save_every=0 lora.r=64 lora.target_modules=all-linear'
(ulimit -f 60; rank 0 2 $port $cramped) >out0 2>err0 &
zero=$!
(rank 1 2 $port $cramped) >out1 2>err1 &
one=$!
waited=0
until rounds_of cramped || [ $waited -gt 300 ]; do waited=$((waited + 1)); sleep 0.05; done
kill -s USR1 $one
for pid in $zero $one; do
    code=0
    wait $pid || code=$?
    [ $code = 8 ] || { fail "cramped: exit code $code, expected 8"; cat err0 err1; }
done
contains err0 '^weft: error: .*runs/cramped'
[ ! -s err1 ] || { fail 'cramped: both ranks tell'; cat err1; }

# ---- threads may differ; what is wrong for all is said once
name=threads
two 0 0 run.threads=2
same_run alone threads
expect 3 train job.yaml --ranks 4 model.path=nowhere
[ "$(grep -c '^weft: error: ' err)" = 1 ] || { fail 'four error lines for one'; cat err; }

# ---- what is refused
expect 2 train job.yaml --ranks 0
expect 2 train job.yaml --ranks two
code=0
RANK=0 WORLD_SIZE=4 MASTER_ADDR=127.0.0.1 MASTER_PORT=9999 "$weft" train job.yaml --ranks 2 2>err || code=$?
[ $code = 2 ] || fail "--ranks under a launcher: exit code $code"
contains err 'leave --ranks out'
code=0
RANK=0 WORLD_SIZE=2 "$weft" train job.yaml 2>err || code=$?
[ $code = 2 ] || fail "no MASTER_ADDR: exit code $code"
contains err 'MASTER_ADDR'
finish
