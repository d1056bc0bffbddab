# What the scripts share; sourced with: the program, the repository's root, a Python 3 (its standard library
# suffices). Moves into a fresh folder that holds a job of 60 rows, 3 labels and 7 natural clients.
set -eu
weft=$1 root=$2 python=${3:-python3}
golden=$root/tests/golden
here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT
cd "$here"
# Two threads that spin for each other are slow on a busy machine.
export OMP_WAIT_POLICY=passive WEFT_RUN_THREADS=1
failures=0

fail() {
    printf 'FAIL: %s\n' "$*"
    failures=$((failures + 1))
}

# The last line of every script.
finish() {
    [ "$failures" = 0 ] && exit 0
    printf '%s checks failed\n' "$failures"
    exit 1
}

# weft "$@" with stdout, stderr and exit code in ./out, ./err and $code.
try() {
    code=0
    "$weft" "$@" >out 2>err </dev/null || code=$?
}

# As try, and the exit code must be the first argument.
expect() {
    want=$1
    shift
    try "$@"
    [ "$code" = "$want" ] && return 0
    fail "weft $*: exit code $code, expected $want"
    sed 's/^/    /' err
}

# Trains ./job.yaml into runs/$1 with the options that follow.
train() {
    name=$1
    shift
    expect 0 train job.yaml run.name="$name" --quiet "$@"
}

same() { cmp -s "$1" "$2" || fail "$1 and $2 differ"; }
differ() { ! cmp -s "$1" "$2" || fail "$1 and $2 are the same"; }
contains() { grep -q -e "$2" "$1" || { fail "$1 does not contain '$2':"; sed 's/^/    /' "$1"; }; }
lacks() { ! grep -q -e "$2" "$1" || fail "$1 contains '$2'"; }

# A Python program on stdin; a failed assertion fails the script's check.
check_python() {
    what=$1
    shift
    "$python" - "$@" || fail "$what"
}

# What two runs must share, byte for byte.
same_run() {
    for f in adapter/adapter_model.safetensors metrics.jsonl rounds.csv clients.csv partition.json; do
        same "runs/$1/$f" "runs/$2/$f"
    done
    [ ! -e "runs/$1/checks.csv" ] || same "runs/$1/checks.csv" "runs/$2/checks.csv"
}

# Pseudo-random pauses, the same in every run of the test: $1 to $2 hundredths of a second.
seed=12345
pause() {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    sleep "$(awk -v a="$1" -v b="$2" -v r="$seed" 'BEGIN { printf "%.2f", (a + r % (b - a + 1)) / 100 }')"
}

# Sends a signal once the program listens to it: where it starts slowly, that is not yet. KILL needs nobody who listens.
send() { # signal, pid
    waited=0
    while [ "$1" != KILL ] && [ "$waited" -lt 1000 ]; do
        grep -q '^State:.*[ZX]' "/proc/$2/status" 2>proc.err && break
        caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$2/status" 2>proc.err) || break # it ended
        [ $((0x${caught:-0} & 0x4200)) != $((0x4200)) ] || break # USR1 and TERM
        waited=$((waited + 1))
        sleep 0.01
    done
    kill -s "$1" "$2" 2>kill.err || :
}

# Starts "train job.yaml" with the options that follow the signal again and again, each time with --resume auto, and
# sends the signal after a while, until it ends by itself.
interrupted() { # signal, name, options…
    signal=$1 name=$2
    shift 2
    times=0
    while [ "$times" -lt 60 ]; do
        "$weft" train job.yaml run.name="$name" --resume auto --quiet "$@" >out 2>err &
        pid=$!
        pause $((4 + times)) $((40 + 8 * times)) # longer each time, so that a slow machine gets there
        send "$signal" $pid
        code=0
        wait $pid 2>wait.err || code=$?
        [ "$code" != 0 ] || break
        case $signal$code in
        KILL137 | *75) ;;
        *) fail "$name: exit code $code after SIG$signal"; cat err; return ;;
        esac
        times=$((times + 1))
    done
    [ "$code" = 0 ] || fail "$name: not done after $times interruptions"
    [ "$times" -ge 3 ] || fail "$name: interrupted only $times times"
    printf '%s: interrupted %s times\n' "$name" "$times"
    # Another start finds nothing to do and changes nothing.
    cp "runs/$name/metrics.jsonl" before
    expect 0 train job.yaml run.name="$name" --resume auto --quiet "$@"
    same before "runs/$name/metrics.jsonl"
}

# Stops "train job.yaml" with these options by USR1 again and again, until it ends by itself with the files of the run
# $1. For jobs that spend most of their time in evaluations: a signal finds rounds that are trained and not evaluated.
stopped_in_evaluations() { # run without a stop, name, options…
    whole=$1 name=$2
    shift 2
    pendings=0 tries=0
    while [ "$tries" -lt 40 ]; do
        "$weft" train job.yaml run.name="$name" --resume auto --quiet "$@" >out 2>err &
        pid=$!
        pause 8 25
        send USR1 $pid
        code=0
        wait $pid 2>wait.err || code=$?
        [ "$code" != 0 ] || break
        [ "$code" = 75 ] || { fail "$name: exit code $code"; cat err; break; }
        ! grep -q '"pending": {' "runs/$name/checkpoints/latest/state.json" || pendings=$((pendings + 1))
        tries=$((tries + 1))
    done
    expect 0 train job.yaml run.name="$name" --resume auto --quiet "$@"
    same_run "$whole" "$name"
    [ "$pendings" -gt 0 ] || fail "no signal met an evaluation in $tries tries"
    printf '%s: %s stops, %s of them in an evaluation\n' "$name" "$tries" "$pendings"
}

# No temporary file anywhere below.
no_leftovers() {
    found=$(find . -name '*.tmp*')
    [ -z "$found" ] || fail "left behind: $found"
}

awk 'BEGIN {
    split("good bad small big plant animal person place water time word number", content, " ")
    split("the of and to in is not very with for on as", glue, " ")
    for (i = 0; i < 60; i++) {
        label = i % 3; text = ""; n = 2 + (i * 7) % 9
        for (j = 0; j < n; j++)
            text = text (j ? " " : "") content[1 + label * 4 + (i * 5 + j * 3) % 4] " " glue[1 + (i + j * 5) % 12]
        pair = content[1 + (i * 7) % 12]
        score = label - 1 + (i % 10) / 20
        printf "{\"text\": \"%s\", \"pair\": \"%s\", \"label\": \"c%d\", \"score\": %.2f, \"who\": \"u%d\"}\n", \
            text, pair, label, score, i % 7 > "train.jsonl"
        for (f = 0; f < 2; f++) {
            file = f ? "train.tsv" : "train.csv"; sep = f ? "\t" : ","
            if (i == 0) printf "text%spair%slabel%sscore%swho\n", sep, sep, sep, sep > file
            printf "%s%s%s%sc%d%s%.2f%su%d\n", text, sep, pair, sep, label, sep, score, sep, i % 7 > file
        }
    }
}' </dev/null
sed -n '1,24p' train.jsonl >test.jsonl
cat >job.yaml <<END
model:
  path: $golden/hf_bert
data:
  train: train.jsonl
  test: test.jsonl
  client_column: who
fl:
  num_clients: 6
  clients_per_round: 4
  num_rounds: 2
client:
  batch_size: 4
END
