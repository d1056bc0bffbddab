"""Makes calls of the C library fail, one in each run of the program, and looks at what is left.

torture.py PROGRAM INJECT.so [--full] [--jobs N] [--only SCENARIO,...] [--sanitized]

Works in the current folder, which holds a job (../e2e/lib.sh, `golden` is a link to ../golden). A run without
faults lists every place in the code that calls (inject.c); then each of them fails in every way that it can:
without --full a fixed sample of the places of memory, and every place of files in one or two ways. --full
tries all ways, and fails every single allocation. What must hold then is in `check`.
"""
import argparse, concurrent.futures, os, re, shutil, subprocess, sys, tempfile, time

import whole

OPTIONS = argparse.ArgumentParser()
OPTIONS.add_argument("program")
OPTIONS.add_argument("inject")
OPTIONS.add_argument("--full", action="store_true")
OPTIONS.add_argument("--jobs", type=int, default=os.cpu_count())
OPTIONS.add_argument("--only", default="")
OPTIONS.add_argument("--sanitized", action="store_true", help="the program brings its own allocator: no alloc faults")
OPTIONS.add_argument("--memory-sample", type=int, default=90, help="places of memory tried in a scenario")
OPTIONS.add_argument("--single", help="SCENARIO=FAULT: one run, its output shown")
ARGS = OPTIONS.parse_args()
HERE = os.getcwd()

# Ways to fail, by class. EINTR and SHORT are no failures: the call is made again and the run is as without.
KINDS = {
    "alloc": ["ENOMEM", "ENOMEM+"],
    "open": ["EACCES", "EMFILE", "EIO"],
    "read": ["EIO", "EINTR", "SHORT", "EOF"],
    "write": ["EIO", "ENOSPC", "ENOSPC+", "EINTR", "SHORT"],
    "sync": ["EIO", "ENOSPC"],
    "rename": ["EIO", "ENOSPC"],
    "mkdir": ["EACCES", "ENOSPC"],
    "mmap": ["ENOMEM"],
    "close": ["EIO"],
    "truncate": ["EIO"],
    "unlink": ["EIO"],
}
HARMLESS = ("EINTR", "SHORT")
# Exit codes that a failed call may lead to (host/exit_code.h).
CODES = {"alloc": {4}, "open": {2, 3, 7, 8}, "read": {2, 3, 7, 8}, "mmap": {3, 4, 7}}
OUTPUT = {8}
REASON = {"EIO": "Input/output error", "EACCES": "Permission denied", "EMFILE": "Too many open files",
          "ENOSPC": "No space left on device", "ENOMEM": "memory"}

TINY = ["--quiet", "fl.num_rounds=2"]
SCENARIOS = {
    # name: arguments; OUT/ is where results go
    "train": ["train", "job.yaml", "run.name=x", "run.output_dir=OUT", "eval.baselines=true", "eval.clients_every=2",
              "client.optimizer_state=keep", "engine.state_pool_mib=0", "engine.slots=2"] + TINY,
    "train-from": ["train", "job.yaml", "run.name=x", "run.output_dir=OUT", "model.path=sharded", "partition.file=split.json", "lora.init_from=adapter", "lora.r=4", "lora.alpha=8", "fl.sync=fda-opt", "fda.max_checks=3",
                   "lora.target_modules=all-linear",
                   "data.train=train.csv", "data.test=test.jsonl", "--format", "json"] + TINY,
    "overwrite": ["train", "job.yaml", "run.name=old", "run.output_dir=OUT", "run.overwrite=true"] + TINY,
    "resume": ["train", "job.yaml", "run.name=half", "run.output_dir=OUT", "--resume", "auto", "checkpoint.save_every=1",
               "fl.strategy=fedadam", "client.optimizer_state=keep"] + TINY,
    "eval": ["eval", "run", "--predictions", "OUT/p.jsonl", "--quiet"],
    "partition": ["partition", "job.yaml", "-o", "OUT/split.json", "--quiet"],
    "plan": ["plan", "job.yaml", "data.train=train.tsv", "--quiet"],
    "compare": ["compare", "run", "run", "--format", "json"],
    "info": ["info", "golden/hf_bert"],
    "config": ["config", "job.yaml"],
}
# What two runs need not share.
VOLATILE = {"timing.jsonl", "env.json", "events.jsonl", "log.txt", "command.txt", "config.resolved.yaml",
            "report.html", "events.out.tfevents.weft"}


def environment(**more):
    env = dict(os.environ, OMP_WAIT_POLICY="passive", WEFT_RUN_THREADS="1", **more)
    if ARGS.sanitized:  # the injector comes before the sanitizer's library
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "detect_leaks=1") + ":verify_asan_link_order=0"
        env["UBSAN_OPTIONS"] = "halt_on_error=1"
    return env


def fresh(wanted):
    """A folder of its own for one run of a scenario, with the inputs as links."""
    folder = tempfile.mkdtemp(prefix="run-", dir=HERE)
    for name in ("job.yaml", "train.jsonl", "train.csv", "train.tsv", "test.jsonl", "golden", "split.json", "adapter", "sharded", "run"):
        source = os.path.join(HERE, name)
        if os.path.exists(source):
            os.symlink(source, os.path.join(folder, name))
    os.mkdir(os.path.join(folder, "OUT"))
    for source, name, scenario in (("run", "old", "overwrite"), ("half", "half", "resume")):
        if scenario == wanted:
            shutil.copytree(os.path.join(HERE, source), os.path.join(folder, "OUT", name), symlinks=True)
    return folder


def execute(folder, name, **env):
    """Exit code, stdout, stderr. A hang is a failure with code None."""
    preload = ARGS.inject
    env = environment(LD_PRELOAD=preload, **env)
    try:
        done = subprocess.run([ARGS.program] + SCENARIOS[name], cwd=folder, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    except subprocess.TimeoutExpired:
        return None, "", "hangs"


def results(folder, out):
    """What a run gives that must be the same in every run: files and standard output without times."""
    found = {"stdout": re.sub(r'.*(seconds|tok/s|OUT/|/s ).*\n', "", out)}
    for path, _, files in os.walk(os.path.join(folder, "OUT")):
        for file in files:
            if file in VOLATILE:
                continue
            data = open(os.path.join(path, file), "rb").read()
            if file in ("summary.json", "state.json"):
                data = re.sub(rb'.*(seconds|timing.jsonl|events.jsonl|log.txt).*\n', b"", data)
            found[os.path.relpath(os.path.join(path, file), folder)] = data
    return found


def check(folder, name, fault, code, out, err, path, reference):
    """What is wrong after one fault: a list of sentences."""
    kind, wrong = fault.split(":")[2], []
    cls, errno = fault.split(":")[0], kind.rstrip("+")
    if re.search(r"Sanitizer|runtime error|Assertion|terminate called", err):
        wrong.append("a report on stderr")
    if code == 0:
        got = results(folder, out)
        if cls == "unlink":  # what could not be removed is all that may be there besides
            got = {k: v for k, v in got.items() if k in reference}
        if path.startswith("/proc/"):  # what is told about the machine is then less
            got["stdout"] = reference["stdout"]
        if got != reference:
            wrong.append("succeeds with other results: "
                         + ", ".join(k for k in set(got) | set(reference) if got.get(k) != reference.get(k)))
            if ARGS.single:
                wrong += [f"{k}:\n{reference[k]}\n-- and now --\n{got.get(k)}" for k in reference if got.get(k) != reference[k]]
    elif errno in HARMLESS:
        wrong.append(f"{kind} is no failure, but the exit code is {code}")
    else:
        # (a system call may be what lacks the memory)
        system = cls == "alloc" and code in OUTPUT and "Cannot allocate memory" in err
        if code not in CODES.get(cls, OUTPUT) and not system:
            wrong.append(f"exit code {code}, not {CODES.get(cls, OUTPUT)}")
        lines = err.splitlines()
        errors = [line for line in lines if line.startswith("weft: error: ")]
        if len(errors) != 1 or lines[-1] != errors[0]:
            wrong.append("stderr does not end in one line of error")
        else:
            text = errors[0]
            if cls == "alloc" and "memory" not in text:
                wrong.append("the message does not speak of memory")
            if text.strip() in ("weft: error: out of memory", "weft: error: out of host memory"):
                wrong.append("the message names nothing")
            if cls != "alloc" and path and path != "-":
                # the file itself, or for a folder any file of it
                base = re.sub(r"\.tmp-\d+-\d+$", "", os.path.basename(path.rstrip("/")))
                # (a folder inside of one that is removed is named by that one)
                if base not in text and ("/" in path or "OUT/" not in text):
                    wrong.append(f"the message does not name {base}")
                if errno in REASON and REASON[errno] not in text:
                    wrong.append(f"the message does not say '{REASON[errno]}'")
    found = whole.faults_of(os.path.join(folder, "OUT"))
    if cls in ("unlink", "truncate") or fault.startswith("alloc") and kind.endswith("+"):
        # nothing can be done where tidying up is what fails (removing a folder takes memory to list it)
        found = [f for f in found if "left behind" not in f and "cut" not in f]
    wrong += found
    return wrong


def one(name, fault, reference):
    folder = fresh(name)
    report = os.path.join(folder, "report")
    code, out, err = execute(folder, name, FAULT=fault, FAULT_REPORT=report)
    happened = os.path.exists(report) and os.path.getsize(report) > 0
    path = open(report).read().split(" ", 3)[3].strip() if happened else ""
    wrong = check(folder, name, fault, code, out, err, path, reference)
    shutil.rmtree(folder, ignore_errors=True)
    return fault, happened, path, code, err, wrong


def faults_of(name):
    folder = fresh(name)
    sites = os.path.join(folder, "sites")
    code, out, err = execute(folder, name, FAULT_SITES=sites)
    if code != 0:
        sys.exit(f"{name} fails without any fault: {err}")
    reference = results(folder, out)
    places, last = {}, {}
    for line in open(sites):
        cls, n = line.split()
        places.setdefault(cls, []).append(int(n))
    shutil.rmtree(folder, ignore_errors=True)
    faults = []
    for cls, numbers in places.items():
        if cls == "alloc" and ARGS.sanitized:
            continue
        if cls == "alloc":
            if ARGS.full:
                numbers = range(1, max(numbers) + 1)
            else:
                step = max(1, -(-len(numbers) // ARGS.memory_sample))
                numbers = numbers[len(name) % step::step]
        for n in numbers:
            kinds = KINDS[cls]
            if not ARGS.full:  # one way or two at each place, another at the next
                kinds = {kinds[n % len(kinds)], kinds[(n + 2) % len(kinds)]} if cls != "alloc" else {kinds[n % 2]}
            faults += [f"{cls}:{n}:{kind}" for kind in sorted(kinds)]
    return faults, reference


def prepare():
    os.symlink(os.path.join(HERE, "golden", "peft_bert"), "adapter")
    os.mkdir("sharded")  # a model whose tokenizer is vocab.txt and whose weights are in three files
    for folder, names in (("hf_bert_sharded", os.listdir("golden/hf_bert_sharded")), ("hf_bert", ["vocab.txt"])):
        for file in names:
            os.symlink(os.path.realpath(os.path.join("golden", folder, file)), os.path.join("sharded", file))
    subprocess.run([ARGS.program, "partition", "job.yaml", "-o", "split.json", "--quiet"], check=True,
                   env=environment(), stdout=subprocess.DEVNULL)
    subprocess.run([ARGS.program, "train", "job.yaml", "run.name=run", "run.output_dir=."] + TINY, check=True,
                   env=environment(), stdout=subprocess.DEVNULL)
    # A run that was killed after the checkpoint of round 1.
    subprocess.run([ARGS.program] + SCENARIOS["resume"][:2] + ["run.name=half", "run.output_dir=."]
                   + SCENARIOS["resume"][6:], check=True, env=environment(), stdout=subprocess.DEVNULL)
    shutil.rmtree("half/checkpoints/round_000002")
    os.remove("half/checkpoints/latest")
    os.symlink("round_000001", "half/checkpoints/latest")


def main():
    prepare()
    if ARGS.single:
        name, fault = ARGS.single.split("=", 1)
        _, reference = faults_of(name)
        fault, happened, path, code, err, wrong = one(name, fault, reference)
        print(f"{fault} {'at ' + path if happened else 'did not happen'}: exit code {code}\n{err}", *wrong, sep="\n")
        return bool(wrong)
    failures = 0
    for name in ARGS.only.split(",") if ARGS.only else SCENARIOS:
        start = time.time()
        faults, reference = faults_of(name)
        happened = failed = 0
        with concurrent.futures.ThreadPoolExecutor(ARGS.jobs) as pool:
            for fault, did, path, code, err, wrong in pool.map(lambda f: one(name, f, reference), faults):
                happened += did
                failed += code != 0
                if wrong:
                    failures += 1
                    print(f"FAIL: {name} {fault} {path}: {'; '.join(wrong)}\n    code {code}, {err.strip()[-300:]}")
        print(f"{name}: {len(faults)} faults, {happened} happened, {failed} ended the run, {time.time() - start:.0f} s")
        if happened * 10 < len(faults) * 9:
            failures += 1
            print(f"FAIL: {name}: most faults must happen, or this test shows nothing")
    if failures:
        print(f"{failures} checks failed")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
