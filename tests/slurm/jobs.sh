#!/bin/sh
# What `weft slurm` writes, in a real Slurm: exit codes, the time limit, preemption, scancel, arrays, one task per GPU on
# two nodes. Ends with 77 where Slurm is missing. Everything waits for something, and never longer than $patience.
skip() {
    printf 'skipped: %s\n' "$*"
    exit 77
}
[ "$(id -u)" = 0 ] || skip 'the daemons of Slurm need root'
PATH=$PATH:/usr/sbin:/sbin
for tool in munged slurmctld slurmd sbatch srun scancel scontrol squeue sinfo; do
    command -v $tool >/dev/null || skip "no $tool (third_party/install.sh test, or apt-get install slurm-wlm munge)"
done
slurm=$(cd "$(dirname "$0")" && pwd)
. "$slurm/../e2e/lib.sh"
patience=600 # tenths of a second
cluster=$(mktemp -d) # not in the test's folder, which others may not enter
trap 'sh "$slurm/down.sh" "$cluster"; rm -rf "$here" "$cluster"' EXIT
trap 'exit 1' INT TERM HUP
export SLURM_CONF="$cluster/slurm.conf" OMP_NUM_THREADS=1
# A port may be in use: three tries.
up=no
for try in 0 1 2; do
    sh "$slurm/up.sh" "$cluster" $((12000 + ($$ + try * 7) % 40 * 500)) 2>up.err && { up=yes; break; }
    sh "$slurm/down.sh" "$cluster"
    rm -rf "$cluster/state" "$cluster/munge"
done
[ $up = yes ] || { fail 'Slurm did not come up'; cat up.err; finish; }

# ---- tools ----
field() { # job, field of scontrol show job
    timeout 10 scontrol show job --oneliner "$1" | tr ' ' '\n' | sed -n "s/^$2=//p"
}
until_true() { # what, command…: within $patience
    what=$1
    shift
    waited=0
    until "$@"; do
        waited=$((waited + 1))
        [ $waited -lt $patience ] || { fail "$what: not within $((patience / 10)) s"; timeout 10 squeue; return 1; }
        sleep 0.1
    done
}
is() { [ "$(field "$1" "$2")" = "$3" ]; }
trains() { [ "$(wc -l 2>wc.err <"runs/$1/metrics.jsonl" || echo 0)" -ge "${2:-3}" ]; } # run, rounds
ended() { # job
    case $(field "$1" JobState) in PENDING | RUNNING | CONFIGURING | COMPLETING) return 1 ;; esac
}
submit() { # script, flags of sbatch… -> $job
    script=$1
    shift
    job=$(timeout 20 sbatch --parsable "$@" "$script" 2>sbatch.err) || { fail "sbatch $script:"; cat sbatch.err; }
}
script() { # file, options and flags of weft slurm…
    file=$1
    shift
    expect 0 slurm job.yaml --output "$file" --cpus-per-task 1 --time 5 "$@"
}
outcome() { # job, state, exit code, restarts
    until_true "end of job $1" ended "$1" || return 0
    got="$(field "$1" JobState) $(field "$1" ExitCode) $(field "$1" Restarts)"
    [ "$got" = "$2 $3 $4" ] || { fail "job $1: $got, expected $2 $3 $4"; cat ./*"-$1.out"; }
}

long='fl.num_rounds=1000 checkpoint.save_every=50 fl.strategy=fedadam' # takes some seconds
train whole $long

# ---- the real time limit: one minute, of which Slurm looks every 30 s. The program sleeps until it is told to stop. ----
script limit.sbatch run.name=limit $long --time 1 --signal-seconds 40
submit limit.sbatch --nodelist=n1
limit=$job
until_true 'a run with a time limit' trains limit
limit_pid=$(pgrep -f "^$weft train .*run.name=limit ")
kill -s STOP "$limit_pid"

# ---- words that a shell would take apart ----
mkdir "it's \"here\""
ln -s "$weft" "it's \"here\"/we ft"
cp job.yaml "it's \"here\"/a \$job.yaml"
expect 0 slurm "it's \"here\"/a \$job.yaml" 'run.name=one $(touch taken) `touch taken`' "run.output_dir=it's \"here\"" \
    --weft "it's \"here\"/we ft" --cpus-per-task 2 --time 5 --nodes 1
cp out quoted.sbatch
train plain
timeout 60 sbatch -W quoted.sbatch >out 2>err || { fail "a plain job: exit code $?"; cat ./one*.out; }
found="it's \"here\"/one \$(touch taken) \`touch taken\`"
same runs/plain/adapter/adapter_model.safetensors "$found/adapter/adapter_model.safetensors"
contains "$found/env.json" SLURM_JOB_ID
contains "$found/config.resolved.yaml" 'threads: 2'
[ ! -e taken ] || fail 'a value was run as a command'
[ -s one___touch_taken___touch_taken_-*.out ] || fail "no output file: $(ls ./*.out)"

# ---- exit codes of jobs that fail ----
script nodata.sbatch run.name=nodata data.train=nope.jsonl
code=0
timeout 60 sbatch -W nodata.sbatch >out 2>err || code=$?
[ $code = 3 ] || { fail "missing rows: exit code $code, expected 3"; cat nodata*.out; }
script diverging.sbatch run.name=diverging client.learning_rate=1000 client.max_grad_norm=0 client.optimizer=sgd \
    client.momentum=0.99 fl.num_rounds=50
submit diverging.sbatch
outcome "$job" FAILED 5:0 0
contains "diverging-$job.out" '^weft: error: '

# ---- stopped twice by USR1: back into the queue, and the bytes of a run that was not stopped ----
script stopped.sbatch run.name=stopped $long
submit stopped.sbatch --nodelist=n2
stopped=$job
for restarts in 1 2; do
    until_true "start $restarts of a run" is "$stopped" JobState RUNNING || break
    until_true "rounds of start $restarts" trains stopped $((20 * restarts)) || break
    pid=$(pgrep -f "^$weft train .*run.name=stopped ")
    send USR1 "$pid" # that it listens
    until_true "requeue $restarts" is "$stopped" Restarts $restarts || break
done
outcome "$stopped" COMPLETED 0:0 2
same_run whole stopped
contains "stopped-$stopped.out" 'goes back into the queue'

# ---- scancel: a good checkpoint, and no way back into the queue ----
script cancelled.sbatch run.name=cancelled fl.num_rounds=1000000
submit cancelled.sbatch
until_true 'a run to cancel' trains cancelled
timeout 10 scancel "$job"
until_true 'end of the cancelled run' test -e runs/cancelled/summary.json
outcome "$job" CANCELLED 0:15 0
lacks "cancelled-$job.out" 'into the queue'
rounds=$("$python" -c 'import json, sys; print(json.load(open(sys.argv[1]))["rounds_done"] + 2)' runs/cancelled/summary.json)
expect 0 train --resume runs/cancelled fl.num_rounds="$rounds" --quiet
train cancelled-not fl.num_rounds="$rounds"
same_run cancelled cancelled-not

# ---- an array of two tasks, of which one is stopped: that one alone starts again ----
cat >sweep.sh <<END
#!/bin/sh
# In place of weft sweep: task N is seed N.
[ "\$1" = sweep ] && shift
for last do [ "\$before" != --task ] || task=\$last; before=\$last; done
exec "$weft" train job.yaml $long --resume auto run.name="task\$task" run.seed="\$task" run.threads=1
END
chmod +x sweep.sh
expect 0 slurm job.yaml -o array.sbatch --cpus-per-task 1 --time 5 --name seeds --array 2 --weft "$here/sweep.sh"
submit array.sbatch
array=$job
until_true 'the second task' trains task1 20
pid=$(pgrep -f "^$weft train .*run.name=task1 ")
send USR1 "$pid"

# ---- preemption: Slurm itself requeues the job, which has saved by then ----
script preempted.sbatch run.name=preempted $long --cpus-per-task 2
script urgent.sbatch run.name=urgent --partition urgent --cpus-per-task 2
submit preempted.sbatch --nodelist=n2
preempted=$job
until_true 'a run to preempt' trains preempted 20
submit urgent.sbatch --nodelist=n2
outcome "$job" COMPLETED 0:0 0
outcome "$array"_0 COMPLETED 0:0 0
outcome "$array"_1 COMPLETED 0:0 1
for seed in 0 1; do
    train seed$seed $long run.seed=$seed
    same_run seed$seed task$seed
    [ -e seeds-"$array"_$seed.out ] || fail "no output of task $seed"
done
outcome "$preempted" COMPLETED 0:0 1
same_run whole preempted
contains runs/preempted/events.jsonl '"event": "stopped"'
lacks "preempted-$preempted.out" 'goes back into the queue'

# ---- one task for each GPU of two nodes: who gets what (training over ranks is not this script's matter) ----
cat >rank.sh <<'END'
#!/bin/sh
{
    printf '%s of %s, node %s, core count %s, GPUs %s:' "$SLURM_PROCID" "$SLURM_NTASKS" "$SLURM_NODEID" \
        "$SLURM_CPUS_PER_TASK" "$CUDA_VISIBLE_DEVICES"
    printf ' <%s>' "$@"
    echo
} >"rank$SLURM_PROCID"
END
chmod +x rank.sh
expect 0 slurm job.yaml data.name="two words" -o ranks.sbatch --nodes 2 --gpus-per-node 2 --cpus-per-task 1 --weft "$here/rank.sh"
submit ranks.sbatch
outcome "$job" COMPLETED 0:0 0
for rank in 0 1 2 3; do
    contains rank$rank "^$rank of 4, node $((rank / 2)), core count 1, GPUs $((rank % 2)): <train> <job.yaml> .*<run.device=cuda>"
done

# ---- the time limit, at last ----
pending() { # pid: USR1 waits for it
    mask=$(sed -n 's/^ShdPnd:[[:space:]]*//p' "/proc/$1/status" 2>proc.err)
    [ $((0x${mask:-0} & 0x200)) != 0 ]
}
until_true 'USR1 before the time limit' pending "$limit_pid"
kill -s CONT "$limit_pid"
outcome "$limit" COMPLETED 0:0 1
same_run whole limit
finish
