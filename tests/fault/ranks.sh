#!/bin/sh
# Three ranks of which one is killed, or stands still, at any time, from the start to the end: all end within a bound,
# and started again and again they end with the bytes of one process that nothing befell. And a disk that is slow:
# everybody waits for it, nobody counts as lost.
#   ranks.sh PROGRAM ROOT PYTHON INJECTOR
. "$(dirname "$0")/../e2e/lib.sh"
inject=$4
rounds=1200
more="fl.num_rounds=$rounds eval.every=25 checkpoint.save_every=20 client.optimizer_state=keep engine.slots=2
    fl.strategy=fedadam run.comm_timeout=2"
train whole $more

state_of() { sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>proc.err || :; }

# Started again until it ends by itself.
phases=
for try in $(seq 1 60); do
    victim=$((try % 3)) signal=KILL
    [ $((try % 4)) != 0 ] || signal=STOP
    # shellcheck disable=SC2086
    "$weft" train job.yaml run.name=torn --ranks 3 --resume auto --quiet $more >out 2>err </dev/null &
    first=$!
    pause 2 $((30 + try * 6))
    pid=$first
    [ $victim = 0 ] || pid=$(pgrep -P $first | sort -n | sed -n "${victim}p")
    [ -n "$pid" ] && kill -s $signal "$pid" 2>kill.err || pid=
    waited=0
    while kill -0 $first 2>kill.err && [ "$(state_of $first)" != Z ] && [ $waited -lt 300 ]; do
        # Rank 0 itself stands still: the others have gone, and it may go on and find out.
        [ "$pid$signal" != "${first}STOP" ] || [ $waited -lt 60 ] || kill -s CONT $first
        waited=$((waited + 1))
        sleep 0.05
    done
    [ $waited -lt 300 ] || { fail "try $try: rank $victim got SIG$signal, and 15 s later rank 0 still works"; kill -9 $first; }
    code=0
    wait $first 2>wait.err || code=$?
    [ $code != 0 ] || break
    case $code in
    6) [ "$(grep -c '^weft: error: rank [0-9].*' err)" = 1 ] || [ $victim = 0 ] || { fail "try $try: no line, or several"; cat err; } ;;
    137) [ $victim = 0 ] || fail "try $try: rank 0 was killed and not rank $victim" ;;
    *) fail "try $try: rank $victim got SIG$signal, exit code $code"; cat err ;;
    esac
    case $(cat err) in
    *'while it started'* | *'at the start'* | *'in the start'*) phases="$phases start" ;;
    *', training'*) phases="$phases training" ;;
    *', evaluating'*) phases="$phases evaluating" ;;
    *) phases="$phases other" ;;
    esac
done
[ "$code" = 0 ] || fail "not done after $try tries"
[ "$try" -ge 6 ] || fail "only $try tries: this test shows little"
printf 'ended %s times by the loss of a rank: %s\n' $((try - 1)) "$(printf '%s\n' $phases | sort | uniq -c | tr -s '\n ' ' ')"
same_run whole torn
same runs/whole/checkpoints/latest/state.safetensors runs/torn/checkpoints/latest/state.safetensors

# A write of a checkpoint, and the making of a folder, that take longer than a rank may be silent.
for slow in sync:3:SLOW mkdir:2:SLOW; do
    code=0
    # shellcheck disable=SC2086
    ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0 \
        LD_PRELOAD=$inject FAULT=$slow FAULT_REPORT=$here/report "$weft" train job.yaml run.name=slow --ranks 2 --quiet $more \
        fl.num_rounds=7 run.overwrite=true >out 2>err || code=$?
    [ $code = 0 ] || { fail "$slow: exit code $code"; cat err; }
    contains report SLOW
done
no_leftovers
finish
