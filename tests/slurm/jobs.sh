#!/bin/sh
# What `weft slurm` writes, in a real Slurm: exit codes, the time limit, preemption, scancel, arrays, one task per GPU on
# two nodes. Ends with 77 where Slurm is missing. Every wait is bounded. $1 to $3 as for the scripts of e2e/; further
# words are the cases to run, default all.
skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}
[ "$(id -u)" = 0 ] || skip 'the daemons of Slurm need root'
PATH=$PATH:/usr/sbin:/sbin
for tool in munged slurmctld slurmd sbatch scancel scontrol squeue sinfo pgrep; do
    command -v $tool >/dev/null || skip "no $tool (third_party/install.sh test)"
done
slurm=$(cd "$(dirname "$0")" && pwd)
. "$slurm/../e2e/lib.sh"
shift $(($# < 3 ? $# : 3))
cases=${*:-limit words failures stopped cancelled array preempted gpus ranks}
long='fl.num_rounds=1000 checkpoint.save_every=50 fl.strategy=fedadam' # takes some seconds
train whole $long

cluster=$(mktemp -d) # not in the test's folder, which others may not enter
pids= minder=
clean() {
    trap '' INT TERM HUP
    for pid in $pids $minder; do kill "${pid#*=}" 2>kill.err || :; done
    sh "$slurm/down.sh" "$cluster"
    rm -rf "$here" "$cluster"
}
trap clean EXIT
trap 'exit 1' INT TERM HUP
# The daemons are nobody's children, so they must not outlive a script that hangs or is killed.
{
    seconds=0
    while kill -0 $$ && [ $seconds -lt 240 ]; do
        seconds=$((seconds + 1))
        sleep 1
    done
    [ $seconds -lt 240 ] || echo 'FAIL: not done after 240 s'
    kill $$ || clean
} 2>minder.err &
minder=$!
export SLURM_CONF="$cluster/slurm.conf" OMP_NUM_THREADS=1
up=no
for try in 0 1 2; do # a port may be in use
    sh "$slurm/up.sh" "$cluster" $((12000 + ($$ + try * 7) % 40 * 500)) 2>up.err && { up=yes; break; }
    sh "$slurm/down.sh" "$cluster"
    rm -rf "$cluster/state" "$cluster/munge"
done
[ $up = yes ] || { fail 'Slurm did not come up'; cat up.err; finish; }

# ---- tools ----
field() { # job, field of scontrol show job
    timeout 10 scontrol show job --oneliner "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"
}
until_true() { # what, command…: within 90 s
    what=$1
    shift
    waited=0
    until "$@"; do
        waited=$((waited + 1))
        [ $waited -lt 900 ] || { fail "$what: not within 90 s"; timeout 10 squeue; return 1; }
        sleep 0.1
    done
}
is() { [ "$(field "$1" "$2")" = "$3" ]; }
trains() { # run, rounds
    [ -e "runs/$1/metrics.jsonl" ] && [ "$(wc -l <"runs/$1/metrics.jsonl")" -ge "$2" ]
}
ended() { # job
    case $(field "$1" JobState) in PENDING | RUNNING | CONFIGURING | COMPLETING) return 1 ;; esac
}
script() { # file, options and flags of weft slurm…
    file=$1
    shift
    expect 0 slurm job.yaml --output "$file" --cpus-per-task 1 --time 5 "$@"
}
submit() { # script, flags of sbatch… -> $job
    file=$1
    shift
    job=$(timeout 20 sbatch --parsable "$@" "$file" 2>sbatch.err) || { fail "sbatch $file:"; cat sbatch.err; }
}
process() { # run: the id of its process, once it trains and listens to signals
    until_true "rounds of $1" trains "$1" 20
    pgrep -f "^$weft train .*run.name=${1##*/} " || fail "$1: no process"
}
outcome() { # job, state, exit code, restarts
    until_true "end of job $1" ended "$1" || return 0
    got="$(field "$1" JobState) $(field "$1" ExitCode) $(field "$1" Restarts)"
    [ "$got" = "$2 $3 $4" ] || { fail "job $1: $got, expected $2 $3 $4"; cat ./*"-$1.out"; }
}

# ---- cases: each in a folder of its own, all at the same time ----

# A limit of one minute. Slurm looks every 30 s, so the warning comes 20 to 50 s before the end; until then the program
# sleeps. Some versions of Slurm wake it for the signal.
limit() {
    warned() {
        mask=$(sed -n 's/^ShdPnd:[[:space:]]*//p' "/proc/$pid/status" 2>proc.err) || return 0 # it has ended
        [ $((0x${mask:-0} & 0x200)) != 0 ]                                                   # USR1 waits for it
    }
    script limit.sbatch run.name=limit $long --time 1 --signal-seconds 20
    submit limit.sbatch --nodelist=n1
    pid=$(process limit)
    kill -s STOP "$pid"
    until_true 'USR1 before the time limit' warned
    kill -s CONT "$pid" 2>kill.err || :
    outcome "$job" COMPLETED 0:0 1
    same_run whole limit
    contains "limit-$job.out" '^weft: error: stopped by signal 10'
}

# Paths and values that a shell would take apart.
words() {
    mkdir "it's \"here\""
    ln -s "$weft" "it's \"here\"/we ft"
    cp job.yaml "it's \"here\"/a \$job.yaml"
    expect 0 slurm "it's \"here\"/a \$job.yaml" 'run.name=one $(touch taken) `touch taken`' --cpus-per-task 2 \
        "run.output_dir=it's \"here\"" --weft "it's \"here\"/we ft"
    cp out words.sbatch
    train plain
    timeout 60 sbatch -W words.sbatch >out 2>err || { fail "exit code $?"; cat ./*.out; }
    run="it's \"here\"/one \$(touch taken) \`touch taken\`"
    same runs/plain/adapter/adapter_model.safetensors "$run/adapter/adapter_model.safetensors"
    contains "$run/env.json" SLURM_JOB_ID
    contains "$run/config.resolved.yaml" 'threads: 2'
    [ ! -e taken ] || fail 'a value was run as a command'
    [ -s one___touch_taken___touch_taken_-*.out ] || fail "no output file: $(ls)"
}

failures() {
    script nodata.sbatch run.name=nodata data.train=nope.jsonl
    code=0
    timeout 60 sbatch -W nodata.sbatch >out 2>err || code=$?
    [ $code = 3 ] || { fail "missing rows: exit code $code, expected 3"; cat nodata*.out; }
    script diverging.sbatch run.name=diverging client.learning_rate=1000 client.optimizer=sgd client.momentum=0.99 \
        client.max_grad_norm=0 fl.num_rounds=50
    submit diverging.sbatch
    outcome "$job" FAILED 5:0 0
    contains "diverging-$job.out" '^weft: error: '
    # What is wrong with the job is said here, not in the queue.
    expect 2 slurm job.yaml --output bad.sbatch client.lerning_rate=1
    contains err 'did you mean client.learning_rate'
    expect 2 slurm job.yaml --output bad.sbatch --gpus-per-node 1 run.device=cpu
    [ ! -e bad.sbatch ] || fail 'a script for a bad job'
    : >full
    expect 8 slurm job.yaml --output full/job.sbatch
}

# By USR1, twice: back into the queue, and the bytes of a run that was not stopped.
stopped() {
    script stopped.sbatch run.name=stopped $long
    submit stopped.sbatch --nodelist=n1
    for restarts in 1 2; do
        until_true "start $restarts" is "$job" JobState RUNNING
        until_true 'more rounds' trains stopped $((100 * restarts))
        send USR1 "$(process stopped)"
        until_true "requeue $restarts" is "$job" Restarts $restarts
    done
    outcome "$job" COMPLETED 0:0 2
    same_run whole stopped
    contains "stopped-$job.out" '^weft: error: stopped by signal 10'
    contains "stopped-$job.out" 'goes back into the queue'
}

# A good checkpoint, and no way back into the queue.
cancelled() {
    script cancelled.sbatch run.name=cancelled fl.num_rounds=1000000
    submit cancelled.sbatch
    until_true 'a run to cancel' trains cancelled 3
    timeout 10 scancel "$job"
    until_true 'its summary' test -e runs/cancelled/summary.json
    outcome "$job" CANCELLED 75:0 0
    lacks "cancelled-$job.out" 'into the queue'
    rounds=$("$python" -c 'import json; print(json.load(open("runs/cancelled/summary.json"))["rounds_done"] + 2)')
    expect 0 train --resume runs/cancelled fl.num_rounds="$rounds" --quiet
    train not-cancelled fl.num_rounds="$rounds"
    same_run cancelled not-cancelled
}

# A sweep as an array. Of two tasks one is stopped: that one alone starts again.
array() {
    printf 'sweep:\n  grid:\n    run.seed: [0, 1]\n' | cat job.yaml - >seeds.yaml
    expect 0 slurm seeds.yaml --output array.sbatch --cpus-per-task 1 --time 5 --name seeds $long \
        --array "$("$weft" sweep seeds.yaml --count)"
    submit array.sbatch
    send USR1 "$(process seeds/seed-1)"
    outcome "$job"_0 COMPLETED 0:0 0
    outcome "$job"_1 COMPLETED 0:0 1
    for seed in 0 1; do
        train seed$seed $long run.seed=$seed
        same_run seed$seed seeds/seed-$seed
        contains "seeds-${job}_$seed.out" "runs/seeds/seed-$seed"
    done
    expect 0 sweep seeds.yaml $long --collect
    [ "$(grep -c '^ *[01] ' out)" = 2 ] || { fail 'the table of the array'; cat out; }
}

# Slurm itself requeues the job, which has saved by then.
preempted() {
    script preempted.sbatch run.name=preempted $long --cpus-per-task 4
    script urgent.sbatch run.name=urgent --partition urgent --cpus-per-task 4
    submit preempted.sbatch --nodelist=n2
    low=$job
    until_true 'a run to preempt' trains preempted 20
    submit urgent.sbatch --nodelist=n2
    outcome "$job" COMPLETED 0:0 0
    outcome "$low" COMPLETED 0:0 1
    same_run whole preempted
    contains "preempted-$low.out" '^weft: error: stopped by signal 15'
    lacks "preempted-$low.out" 'goes back into the queue'
}

# A task for each GPU of two nodes: who gets what.
gpus() {
    cat >rank.sh <<'END'
#!/bin/sh
{
    printf '%s of %s, node %s, number %s there, cores %s, GPUs %s:' "$SLURM_PROCID" "$SLURM_STEP_NUM_TASKS" \
        "$SLURM_NODEID" "$SLURM_LOCALID" "$SLURM_CPUS_PER_TASK" "$CUDA_VISIBLE_DEVICES"
    printf ' <%s>' "$@"
    echo
} >"rank$SLURM_PROCID"
END
    chmod +x rank.sh
    script gpus.sbatch --nodes 2 --gpus-per-node 2 --weft ./rank.sh client.learning_rate=2e-3
    submit gpus.sbatch
    outcome "$job" COMPLETED 0:0 0
    want='<train> <job.yaml> <client.learning_rate=2e-3> <run.name=job> <run.threads=1> <run.device=cuda> <--resume> <auto>$'
    for rank in 0 1 2 3; do
        contains rank$rank \
            "^$rank of 4, node $((rank / 2)), number $((rank % 2)) there, cores 1, GPUs 0,1: $want"
    done
}

# Two nodes train together: stopped on one of them, back into the queue, and the bytes of one process that was not. The
# nodes here are names that nobody can look up, hence MASTER_ADDR.
ranks() {
    export MASTER_ADDR=127.0.0.1
    script ranks.sbatch run.name=ranks --nodes 2 $long
    submit ranks.sbatch
    until_true 'rounds of ranks' trains ranks 20
    send USR1 "$(pgrep -f "^$weft train .*run.name=ranks " | tail -n 1)"
    until_true 'requeue of ranks' is "$job" Restarts 1
    outcome "$job" COMPLETED 0:0 1
    same_run whole ranks
    contains runs/ranks/events.jsonl '"2 ranks on 1 host, tcp, started by srun"'
    contains "ranks-$job.out" '^weft: error: stopped by signal 10'
    # One is killed: an error on all, with its name, and no way back into the queue. (Were it rank 0, srun would name
    # it; what the others write then does not always reach the output file.)
    script killed.sbatch run.name=killed --nodes 2 fl.num_rounds=100000 eval.every=0 run.comm_timeout=5
    submit killed.sbatch
    until_true 'rounds of killed' trains killed 60
    for pid in $(pgrep -f "^$weft train .*run.name=killed "); do
        ! tr '\0' '\n' <"/proc/$pid/environ" | grep -qx SLURM_PROCID=1 || kill -s KILL "$pid"
    done
    until_true 'end of killed' ended "$job"
    [ "$(field "$job" JobState)" = FAILED ] || fail "killed: $(field "$job" JobState)"
    contains "killed-$job.out" '^weft: error: rank 1 (.*) was lost'
}

for case in $cases; do
    mkdir -p "$case/runs"
    cp job.yaml train.jsonl test.jsonl "$case"
    ln -s ../../runs/whole "$case/runs/whole"
    {
        cd "$case"
        failures=0
        "$case"
        [ "$failures" = 0 ]
    } >"$case.log" 2>&1 &
    pids="$pids $case=$!"
done
for pid in $pids; do
    wait "${pid#*=}" && continue
    fail "${pid%%=*}:"
    sed 's/^/    /' "${pid%%=*}.log"
done
finish
