#!/bin/sh
# The scripts of `weft slurm` without a Slurm: with stand-ins for srun and scontrol that record what they are given.
# tests/slurm runs them in a real one.
. "$(dirname "$0")/lib.sh"

mkdir bin
cat >bin/srun <<'END'
#!/bin/sh
for word do printf '<%s>\n' "$word"; done >srun.words
[ -z "${FAKE_TERM-}" ] || kill -s TERM $PPID
exit "${FAKE_CODE-0}"
END
cat >bin/scontrol <<'END'
#!/bin/sh
echo "$*" >>scontrol.words
[ "$1" != show ] || echo "JobId=7 JobState=$FAKE_STATE Reason=None"
END
chmod +x bin/srun bin/scontrol

# Runs script $1 as a node would: the program ends with code $2 while the job is in state $3.
batch() {
    rm -f scontrol.words
    code=0
    PATH=$here/bin:$PATH SLURM_JOB_ID=7 SLURM_CPUS_PER_TASK=3 FAKE_CODE=$2 FAKE_STATE=$3 sh "$1" >out 2>err || code=$?
    [ "$code" = "$2" ] || fail "$1: exit code $code, expected $2"
    [ ! -s err ] || { fail "$1 complains"; cat err; }
}

cp job.yaml 'a "job'\''s $HOME.yaml'
expect 0 slurm 'a "job'\''s $HOME.yaml' --output one.sbatch --weft 'we ft' 'run.name=x; touch taken #' \
    'data.train=a\`touch taken`' 'run.output_dir=two
lines'
[ ! -s out ] || fail 'something on stdout beside --output'
batch one.sbatch 0 RUNNING
cat >want <<'END'
<--cpus-per-task=3>
<we ft>
<train>
<a "job's $HOME.yaml>
<run.name=x; touch taken #>
<data.train=a\`touch taken`>
<run.output_dir=two
lines>
<run.name=x; touch taken #>
<run.threads=3>
<--resume>
<auto>
END
same want srun.words
[ ! -e taken ] || fail 'a value was run as a command'
[ ! -e scontrol.words ] || fail 'a job that ended was asked about'

# Only a run that stopped with a checkpoint, in a job that goes on, starts again.
batch one.sbatch 5 RUNNING
[ ! -e scontrol.words ] || fail 'a failed run was requeued'
batch one.sbatch 75 CANCELLED
lacks scontrol.words requeue
batch one.sbatch 75 RUNNING
contains scontrol.words '^requeue 7$'
FAKE_TERM=yes batch one.sbatch 75 COMPLETING
lacks scontrol.words requeue
expect 0 slurm job.yaml --array 3 --gpus-per-node 1
cp out array.sbatch
SLURM_ARRAY_JOB_ID=5 SLURM_ARRAY_TASK_ID=2 batch array.sbatch 75 RUNNING
contains scontrol.words '^requeue 5_2$'
contains srun.words '^<sweep>$'
[ "$(tail -n 2 srun.words | tr '\n' ' ')" = '<--task> <2> ' ] || fail "words of an array: $(cat srun.words)"
contains srun.words '^<run.device=cuda>$'

# The same script for the same words; the examples are current; without --weft it is this program.
expect 0 slurm job.yaml
contains out "^    $weft train job.yaml "
cd "$root"
for example in \
    'slurm-cpu.sbatch --cpus-per-task 8 --mem 8G --time 1:00:00' \
    'slurm-nodes.sbatch --nodes 2 --gpus-per-node 8 --cpus-per-task 8 --time 4:00:00'; do
    # shellcheck disable=SC2086
    set -- $example
    file=host/examples/$1
    shift
    "$weft" slurm host/examples/quickstart.yaml run.overwrite=false --weft weft "$@" | cmp - "$file" ||
        fail "$file is not what weft slurm writes: weft slurm host/examples/quickstart.yaml run.overwrite=false --weft weft $*"
done
cd "$here"
no_leftovers
finish
