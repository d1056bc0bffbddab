#!/bin/sh
# stdout carries results alone, stderr the log; without a terminal no byte of either steers one; --quiet is quiet.
. "$(dirname "$0")/lib.sh"

control=$(printf '[\001-\010\013-\037\177]')
train quiet
[ ! -s err ] || { fail '--quiet wrote to stderr'; cat err; }
contains out accuracy
expect 0 train job.yaml run.name=loud
[ -s err ] || fail 'no log on stderr'
contains err 'round  2'
lacks err "$control"
lacks out "$control"
lacks out 'round  1'
lacks runs/loud/log.txt "$control"
expect 0 train job.yaml run.name=plain --no-progress
lacks err "$control"
# A warning of a quiet run is not an error; the log keeps it.
sed '3s/.*/{"text": 3}/' train.jsonl >one_bad.jsonl
train warned data.train=one_bad.jsonl data.on_bad_row=skip
[ ! -s err ] || { fail '--quiet wrote to stderr'; cat err; }
contains runs/warned/log.txt 'skipped 1'
for verb in 'eval runs/loud' 'plan job.yaml' 'partition job.yaml'; do
    # shellcheck disable=SC2086
    expect 0 $verb --quiet
    [ ! -s err ] || fail "$verb --quiet wrote to stderr"
    [ -s out ] || fail "$verb: no result"
    lacks out "$control"
done
# Names from outside cannot steer a terminal either.
expect 2 "$(printf 'bad\033[31m\nname')"
lacks err "$control"
[ "$(wc -l <err)" = 1 ] || fail 'an error of more than one line'
printf '{"text": "good", "label": "\\u001b[2J", "who": "a"}\n' >steer.jsonl
cat train.jsonl >>steer.jsonl
expect 0 train job.yaml run.name=steer data.train=steer.jsonl
lacks err "$control"
lacks out "$control"

# A result that nobody can read is a failure.
if [ -e /dev/full ]; then
    code=0
    "$weft" plan job.yaml --quiet >/dev/full 2>err || code=$?
    [ "$code" = 8 ] || fail "full stdout: exit code $code, expected 8"
    contains err '^weft: error: cannot write to standard output'
fi

# On a terminal there is a live line; NO_COLOR takes the colours away but not the line.
check_python 'a terminal' "$weft" <<'END'
import fcntl, os, pty, re, struct, sys, termios
def on_terminal(*args, width=100, **env):
    pid, fd = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, width, 0, 0))
        os.environ.update({"TERM": "xterm", **env})
        os.execv(sys.argv[1], (sys.argv[1],) + args)
    out = b""
    while True:
        try:
            part = os.read(fd, 65536)
        except OSError:
            break
        if not part:
            break
        out += part
    assert os.waitpid(pid, 0)[1] == 0, out
    return out
job = ("train", "job.yaml", "data.train=one_bad.jsonl", "data.on_bad_row=skip", "fl.num_rounds=100")
live = on_terminal(*job, "run.name=t1")
assert b"\033[K" in live and b"\033[33mwarning" in live, live
plain = on_terminal(*job, "run.name=t2", NO_COLOR="1")
assert b"\033[33m" not in plain and b"\033[K" in plain, plain
still = on_terminal(*job, "run.name=t3", "--no-progress", NO_COLOR="1")
assert b"\033" not in still, still
quiet = on_terminal(*job, "run.name=t4", "--quiet")
assert b"\033" not in quiet and b"warning" not in quiet, quiet
dumb = on_terminal(*job, "run.name=t5", TERM="dumb")
assert b"\033" not in dumb and b"warning" in dumb, dumb
# One line, whatever the width; 80 columns hold all that people look for.
for width in 40, 80, 200:
    seen = on_terminal("train", "job.yaml", "fl.num_rounds=300", "eval.every=1", f"run.name=w{width}", width=width)
    live = [line.decode() for line in re.findall(rb"\r([^\r\n]+)\033\[K", seen)]
    assert live and max(map(len, live)) < width, (width, live)
    want = {40: r"round \d+/300 .*", 80: r"round \d+/300  loss \d.*  acc 0.*  \S+ cl/s  .* tok/s  \S+B  .* left",
            200: r"round \d+/300  \w+ +\d+%  loss \d.*  acc 0.*  \S+ clients/s  .* tok/s  up .* down .*  .* left"}
    assert any(re.fullmatch(want[width], line) for line in live), (width, live)
END
finish
