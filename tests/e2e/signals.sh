#!/bin/sh
# Signals in the middle of training: the documented exit code, a summary, whole lines and an adapter of the last
# complete round. That the run can be gone on with is resume.sh's business.
. "$(dirname "$0")/lib.sh"

# Starts a run that would take hours, waits for a complete round, and sends the signal.
stop() { # signal, its number, seconds
    run=runs/$1
    "$weft" train job.yaml run.name="$1" fl.num_rounds=1000000 eval.every=3 >out 2>err &
    pid=$!
    waited=0
    while [ ! -s "$run/metrics.jsonl" ]; do
        waited=$((waited + 1))
        [ "$waited" -lt 200 ] || { fail "$1: no round within 20 s"; cat err; break; }
        sleep 0.1
    done
    sleep "$3"
    kill -s "$1" $pid
    code=0
    wait $pid || code=$?
    [ "$code" = 75 ] || { fail "$1: exit code $code, expected 75"; cat err; }
    contains err '^weft: error: stopped by signal'
    [ "$(grep -c '^weft: error: ' err)" = 1 ] || fail "$1: not one line of error"
    contains out 'stopped by signal'
    no_leftovers
    [ "$code" != 75 ] || check_python "run folder after $1" "$run" "$2" <<'END'
import csv, json, struct, sys
run, signal = sys.argv[1], int(sys.argv[2])
def lines(name):
    text = open(f"{run}/{name}").read()
    assert text.endswith("\n"), name
    return text.splitlines()
summary = json.load(open(f"{run}/summary.json"))
done = summary["rounds_done"]
assert summary["stopped_by_signal"] == signal and done > 0
for name in "metrics.jsonl", "timing.jsonl":
    assert [json.loads(line)["round"] for line in lines(name)] == list(range(1, done + 1)), name
events = [json.loads(line)["event"] for line in lines("events.jsonl")]
assert events[0] == "start" and "stopped" in events, events
assert len(lines("rounds.csv")) == 1 + done
assert len(lines("clients.csv")) == 1 + 4 * done
raw = open(f"{run}/adapter/adapter_model.safetensors", "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
assert len(raw) == 8 + size + max(v["data_offsets"][1] for k, v in json.loads(raw[8:8 + size]).items() if k != "__metadata__")
END
    rounds=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["rounds_done"])' "$run/summary.json")
    # The adapter is that of a run which was to end there.
    train "$1-again" fl.num_rounds="$rounds" eval.every=0
    same "$run/adapter/adapter_model.safetensors" "runs/$1-again/adapter/adapter_model.safetensors"
}
stop INT 2 0
stop TERM 15 0.2
stop USR1 10 0.1

# Before the first round is complete there is no adapter, and nothing is broken.
"$weft" train job.yaml run.name=early client.local_steps=100000000 >out 2>err &
pid=$!
waited=0
while [ ! -s runs/early/log.txt ] && [ "$waited" -lt 200 ]; do
    waited=$((waited + 1))
    sleep 0.1
done
[ -s runs/early/log.txt ] || fail 'no log before the first round'
sleep 0.2
kill -s TERM $pid
code=0
wait $pid || code=$?
[ "$code" = 75 ] || { fail "early SIGTERM: exit code $code, expected 75"; cat err; }
[ ! -e runs/early/adapter ] || fail 'an adapter of no round'
contains err 'after 0 of 2 rounds'
[ ! -s runs/early/metrics.jsonl ] || fail 'metrics of no round'
no_leftovers

# kill -9 leaves whole lines too.
"$weft" train job.yaml run.name=killed fl.num_rounds=1000000 >out 2>err &
pid=$!
waited=0
while [ ! -s runs/killed/metrics.jsonl ] && [ "$waited" -lt 200 ]; do
    waited=$((waited + 1))
    sleep 0.1
done
kill -s KILL $pid
wait $pid || :
check_python 'lines after kill -9' runs/killed <<'END'
import json, sys
for name in "metrics.jsonl", "timing.jsonl", "events.jsonl":
    text = open(f"{sys.argv[1]}/{name}").read()
    assert text.endswith("\n"), name
    for line in text.splitlines():
        json.loads(line)
END
# A benchmark stops too, and prints no figures.
"$weft" bench job.yaml --quiet client.local_steps=1000000 >out 2>err &
pid=$!
sleep 2
kill -s TERM $pid
code=0
wait $pid || code=$?
[ "$code" = 143 ] || fail "bench: exit code $code after SIGTERM, expected 143"
[ ! -s out ] || fail 'a stopped benchmark printed figures'
finish
