#!/bin/sh
# Ranks under mpirun: the bytes of one process, whoever carries the exchanges; a rank that dies or stops ends the job
# soon and by name; signals; plugins that are missing or of another build.
. "$(dirname "$0")/lib.sh"
build=$(dirname "$weft")
skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}
command -v mpirun >/dev/null || skip 'no mpirun (Debian: openmpi-bin)'
[ -e "$build/libweft_mpi.so" ] || skip 'this build has no libweft_mpi.so (libopenmpi-dev was missing, or WEFT_MPI=OFF)'
mpirun --version | grep -q 'Open MPI' || skip 'mpirun is not that of Open MPI'
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mpi="mpirun --oversubscribe"

# mpirun "$@" with stdout, stderr and exit code in ./out, ./err and $code; the first argument is the exit code.
expect_mpi() {
    want=$1
    shift
    code=0
    # shellcheck disable=SC2086
    timeout 60 $mpi "$@" >out 2>err </dev/null || code=$?
    [ "$code" = "$want" ] && return 0
    fail "mpirun $*: exit code $code, expected $want"
    sed 's/^/    /' err
}

# ---- exchanges against formulas, then whole runs against one process ----
for n in 1 3 4; do expect_mpi 0 -n $n "$build/tests/mpi_exchange" "$build"; done

expect 0 train job.yaml run.name=one --quiet
for n in 1 2 4; do
    expect_mpi 0 -n $n "$weft" train job.yaml run.name=n$n --quiet
    same_run one n$n
done
# Sums after every step; clients whose state crosses at every checkpoint.
fda='fl.sync=fda fda.theta=3e-3 fl.num_rounds=4'
keep='client.optimizer_state=keep fl.num_rounds=5 engine.slots=1 engine.state_pool_mib=0'
for job in fda keep; do
    eval "options=\$$job"
    # shellcheck disable=SC2086,SC2154
    train $job-1 $options
    # shellcheck disable=SC2086
    expect_mpi 0 -n 3 "$weft" train job.yaml run.name=$job-3 --quiet $options
    same_run $job-1 $job-3
    same runs/$job-1/checkpoints/latest/state.safetensors runs/$job-3/checkpoints/latest/state.safetensors
done
contains runs/n2/log.txt 'ranks: 2 ranks on 1 host, mpi (Open MPI [0-9.]*), started by mpirun'
contains runs/n2/events.jsonl '"ranks": "2 ranks on 1 host, mpi (Open MPI'
expect 0 info
contains out 'exchange mpi  *available: Open MPI [0-9.]*'
check_python 'timing.jsonl tells of exchanges, where there are any' <<'END'
import json
for n in 1, 2, 4:
    for line in open(f"runs/n{n}/timing.jsonl"):
        t = json.loads(line)
        if n == 1:
            assert not any(k.startswith("exchange") for k in t), t
            continue
        assert t["exchanges"] > 0 and 0 < t["exchange_seconds"] < t["seconds"], t
        # At least the sum of the updates: 2147 numbers of 8 bytes.
        assert 2147 * 8 <= t["exchange_bytes"] < 10 * 2147 * 8, t
END

# ---- without the plugin, and with others in its place ----
mkdir -p alone other
cp "$weft" alone
cp "$weft" other
cp "$build/tests/host/fake/mpi_other/libweft_mpi.so" other
expect_mpi 0 -n 2 "$here/alone/weft" train job.yaml run.name=alone --quiet
same_run one alone
contains runs/alone/log.txt 'ranks: .* tcp (no mpi: the MPI plugin was not built'
expect_mpi 0 -n 2 "$here/other/weft" train job.yaml run.name=other --quiet
same_run one other
contains runs/other/log.txt 'ranks: .* tcp (no mpi: libweft_mpi.so is of another build'
# Several hosts need it: as mpirun starts a rank that is alone on its host.
code=0
OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_RANK=0 OMPI_COMM_WORLD_LOCAL_SIZE=1 \
    "$here/alone/weft" train job.yaml --quiet >out 2>err || code=$?
[ "$code" = 2 ] || fail "several hosts without the plugin: exit code $code"
contains err 'set MASTER_ADDR .*; MPI could tell, but the MPI plugin was not built'
# A launcher of another MPI, for which this one knows of no other rank.
code=0
PMI_RANK=0 PMI_SIZE=2 "$weft" train job.yaml --quiet >out 2>err || code=$?
[ "$code" = 2 ] || fail "a launcher of another MPI: exit code $code"
contains err 'says rank 0 of 1, a PMI launcher says 0 of 2: the launcher is not of this MPI'
# On some hosts alone: those who wait inside MPI do not for ever.
expect_mpi 6 -n 1 "$weft" train job.yaml --quiet run.comm_timeout=2 : \
    -n 1 "$here/alone/weft" train job.yaml --quiet run.comm_timeout=2
contains err 'rank 0: not all ranks have started MPI, .* within 10 s\|rank 1 cannot reach rank 0'

# ---- ranks that are lost ----
start() { # name, options of mpirun…
    name=$1
    shift
    # shellcheck disable=SC2086
    $mpi "$@" -n 3 "$weft" train job.yaml run.name="$name" --resume auto --no-progress fl.num_rounds=100000 \
        eval.every=0 checkpoint.save_every=0 run.comm_timeout=2 >out 2>err </dev/null &
    pid=$!
    waited=0
    until grep -q '"round": 3,' "runs/$name/metrics.jsonl" 2>grep.err || [ $waited = 1000 ]; do
        sleep 0.02
        waited=$((waited + 1))
    done
}
# The process of a rank: mpirun's children in the order of their start.
rank() {
    for child in $(pgrep -P "$pid"); do
        if tr '\0' '\n' <"/proc/$child/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1"; then echo "$child"; fi
    done
}
ended() { # exit codes, seconds
    began=$(date +%s)
    while kill -s 0 $pid 2>kill.err; do # until waited for, a process that has ended is there as a zombie
        ! grep -q '^State:.*Z' "/proc/$pid/status" 2>proc.err || break
        [ $(($(date +%s) - began)) -le $(($2 + 20)) ] || kill -s KILL $pid
        sleep 0.05
    done
    code=0
    wait $pid 2>wait.err || code=$?
    took=$(($(date +%s) - began))
    case " $1 " in *" $code "*) ;; *) fail "$name: exit code $code, expected one of $1"; sed 's/^/    /' err ;; esac
    [ $took -le "$2" ] || fail "$name: ended after $took s"
}
# mpirun itself sees a child die, ends the others, and exits with its code.
start killed
kill -s KILL "$(rank 2)"
ended '137 6' 10
contains err 'weft: error: rank 2 (.*) was lost: its connection closed'
start first_killed
kill -s KILL "$(rank 0)"
ended '137 6' 10
contains err 'weft: error: rank 0 (.*) was lost: its connection closed'
start stalled
kill -s STOP "$(rank 1)"
ended 6 12
contains err 'weft: error: rank 1 (.*) was lost: silent for 2 s'

# ---- signals: mpirun passes USR1 on at once, and TERM after a while in which it waits; later it kills ----
# goes_on name: from the checkpoint it ends as one process does that was never stopped.
goes_on() {
    done=$(sed -n 's/.*"rounds_done": \([0-9]*\).*/\1/p' "runs/$1/summary.json")
    [ "${done:-0}" -ge 3 ] || fail "$1: stopped after round '$done'"
    rounds=$((${done:-0} + 2))
    set -- "$1" fl.num_rounds=$rounds eval.every=0 checkpoint.save_every=0 --quiet
    name=$1
    shift
    expect_mpi 0 -n 2 "$weft" train job.yaml run.name="$name" --resume auto "$@"
    expect 0 train job.yaml run.name="$name-alone" "$@"
    same_run "$name-alone" "$name"
}
start asked
kill -s USR1 $pid
ended 75 10
contains err 'stopped by signal 10 after'
goes_on asked
start ended --mca odls_base_sigkill_timeout 2
kill -s TERM $pid
ended '1 75 143' 15
goes_on ended
no_leftovers
finish
