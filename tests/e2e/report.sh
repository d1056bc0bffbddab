#!/bin/sh
# What people look at: report.html of runs that ended, were stopped, were killed or failed, and compare with its
# page. Pages are checked as text: tags that match, SVG that is XML, no address, figures of the files.
. "$(dirname "$0")/lib.sh"

cat >page.py <<'END'
import html.parser, re
import xml.etree.ElementTree as xml

class Page(html.parser.HTMLParser):
    VOID = {"meta", "br"}
    def __init__(self, path):
        super().__init__()
        self.path, self.open, self.text, self.cells, self.row = path, [], [], [], None
        self.source = open(path, encoding="utf-8").read()
        self.feed(self.source)
        self.close()
        assert not self.open, (path, self.open)
        self.svgs = [xml.fromstring(s) for s in re.findall(r"<svg.*?</svg>", self.source, re.S)]
        for svg in self.svgs:
            for e in svg.iter():
                for name, value in e.attrib.items():
                    if name in ("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "width", "height", "r"):
                        assert 0 <= float(value) <= 1000, (name, value)
    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "img", "iframe", "object", "a", "base", "form"), tag
        for name, value in attrs:
            assert name not in ("src", "href", "xlink:href", "action") and not name.startswith("on"), name
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.row = []
        if tag in ("td", "th"):
            self.row.append("")
    def handle_startendtag(self, tag, attrs):
        assert tag in ("line", "path", "rect"), tag
    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (self.path, tag, self.open)
        self.open.pop()
        if tag == "tr":
            self.cells.append(self.row)
            self.row = None
    def handle_data(self, data):
        if "style" in self.open:
            assert "url(" not in data and "@import" not in data
            return
        self.text.append(data)
        if self.row:
            self.row[-1] += data
    def said(self):
        return " ".join("".join(self.text).split())
    def titles(self):
        return [e.text for svg in self.svgs for e in svg.iter("title")]
    def value(self, row):
        return next(r[1:] for r in self.cells if r and r[0] == row)

def short(value):
    return f"{value:.4f}".rstrip("0").rstrip(".")
END

# Waits for the first round of a run in the background.
wait_for_round() {
    waited=0
    while [ ! -s "runs/$1/metrics.jsonl" ]; do
        waited=$((waited + 1))
        [ "$waited" -lt 200 ] || { fail "$1: no round within 20 s"; return 0; }
        sleep 0.1
    done
}

# ---- a run that ended

train full fl.num_rounds=3 eval.baselines=true partition.kind=dirichlet fl.strategy=fedadam
check_python 'report of a run' runs/full <<'END'
import json, sys
sys.path.insert(0, ".")
from page import Page, short
run = sys.argv[1]
page = Page(f"{run}/report.html")
said, titles = page.said(), page.titles()
metrics = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
summary = json.load(open(f"{run}/summary.json"))
split = json.load(open(f"{run}/partition_summary.json"))
last = metrics[-1]
gap = last["eval_accuracy"] - summary["linear_probe"]["accuracy"]
assert f"accuracy {last['eval_accuracy']:.4f} on 24 test rows after round 3" in said, said
assert short(abs(gap)) + (" above" if gap >= 0 else " below") + " the linear probe" in said, said
assert "has not ended" not in said and "was stopped" not in said
for m in metrics:                                      # exact values under the pointer
    assert f"training, round {m['round']}: {short(m['loss'])}" in titles, titles
    assert f"test, round {m['round']}: {short(m['eval_loss'])}" in titles, titles
assert page.value("3 rounds")[1].startswith(f"{last['wire_up_total_bytes']:,} ("), page.cells
assert page.value("fl.strategy") == ["fedadam"] and page.value("in all")
assert not any(r and r[0] == "lora.r" for r in page.cells)           # a default
assert "train job.yaml run.name=full" in said
for c in split["clients"]:                             # every client, every label
    mine = [t for t in titles if t.startswith(f"client {c['client']}, {c['rows']} row")]
    assert mine, c
    for name, n in zip(split["labels"], c["label_rows"]):
        assert n == 0 or any(f": {name} {n}, " in t for t in mine), (c, name)
assert "linear probe" in said and "majority class" in said
END
cp runs/full/report.html before.html
expect 0 report runs/full
contains out '^runs/full/report.html$'
same before.html runs/full/report.html

# ---- odd jobs

train plain eval.every=0 data.test= fl.num_rounds=1
check_python 'report without evaluations' runs/plain <<'END'
import sys
sys.path.insert(0, ".")
from page import Page
said = Page(f"{sys.argv[1]}/report.html").said()
assert "was not evaluated" in said and "accuracy" not in said, said
END
train numbers data.task=regression data.label_column=score
check_python 'report of a regression' runs/numbers <<'END'
import sys
sys.path.insert(0, ".")
from page import Page
said = Page(f"{sys.argv[1]}/report.html").said()
assert "Pearson's r" in said and "label skew" not in said, said
END
train one_client fl.num_clients=1 fl.clients_per_round=1 log.tensorboard=false
[ ! -e runs/one_client/tb ] || fail 'log.tensorboard=false left tb/'
contains runs/one_client/report.html 'Pooled LoRA'
printf '{"text": "good", "label": "<script>x</script>", "who": "u0"}\n{"text": "bad", "label": "\\u001b]0;&", "who": "u0"}\n' >odd.jsonl
cat train.jsonl >>odd.jsonl
train odd data.train=odd.jsonl
check_python 'report with odd names' runs/odd <<'END'
import sys
sys.path.insert(0, ".")
from page import Page
page = Page(f"{sys.argv[1]}/report.html")
assert any("<script>x</script> 1," in t for t in page.titles())
assert "\033" not in page.source
END

# ---- runs that did not end

"$weft" train job.yaml run.name=killed fl.num_rounds=1000000 eval.baselines=true --quiet >out2 2>err2 &
pid=$!
wait_for_round killed
expect 0 report runs/killed # while it goes on
contains runs/killed/report.html 'has not ended'
kill -s KILL $pid
wait $pid 2>/dev/null || true
rm -rf runs/killed/checkpoints # it may have been writing one
printf '{"round": 99' >>runs/killed/metrics.jsonl # and what a crash in the middle of a line leaves
expect 0 report runs/killed
check_python 'report of a killed run' runs/killed <<'END'
import sys
sys.path.insert(0, ".")
from page import Page
said = Page(f"{sys.argv[1]}/report.html").said()
rounds = len(open(f"{sys.argv[1]}/metrics.jsonl").read().splitlines()) - 1
assert f"what is recorded are {rounds:,} of 1,000,000 rounds" in said, said
assert "linear probe" in said and "as weft plan lists it" in said, said
END
"$weft" train job.yaml run.name=stopped fl.num_rounds=1000000 --quiet >out2 2>err2 &
pid=$!
wait_for_round stopped
kill -s INT $pid
wait $pid 2>/dev/null || true
contains runs/stopped/report.html 'was stopped by signal 2 after'
expect 5 train job.yaml run.name=failed client.learning_rate=1000 client.optimizer=sgd client.max_grad_norm=0 \
    fl.num_rounds=50
contains runs/failed/report.html 'The run failed after'
contains runs/failed/report.html 'not finite'

# ---- what is no run

expect 3 report .
contains err 'not a run folder'
expect 3 report runs/full missing
contains err "missing is not a run folder"
expect 2 report
mkdir bad
printf '{"round": 1}\nnonsense\n' >bad/metrics.jsonl
expect 3 report bad
contains err 'bad/metrics.jsonl, line 2'
[ ! -e bad/report.html ] || fail 'a report of a broken run'
rm runs/plain/report.html
mkdir runs/plain/report.html
expect 8 report runs/plain
no_leftovers

# ---- compare

train second fl.num_rounds=2
expect 0 compare runs/full runs/second runs/plain runs/stopped --plot cmp.html
[ "$(grep -c '^full \|^second \|^plain \|^stopped ' out)" = 4 ] || { fail 'compare: not one row per run'; cat out; }
contains out '^stopped .*/1000000'
check_python 'page of compare' <<'END'
import sys
sys.path.insert(0, ".")
from page import Page
page = Page("cmp.html")
titles = page.titles()
for what in "by round", "by bytes on the wire", "by training time":
    assert f"Test accuracy {what}" in titles
assert any(t.startswith("second, round 2: ") for t in titles) and any(t.startswith("full, round 3, ") for t in titles)
assert page.value("plain")[1] == "-" and page.value("full")[1] != "-"
END
expect 0 compare runs/plain --plot cmp.html
contains out 'train loss'
contains out 'No run was evaluated'
lacks out ' - '
contains cmp.html 'Training loss by bytes'
expect 3 compare runs/full runs/numbers --plot no.html
contains err 'do not compare'
[ ! -e no.html ] || fail 'a page of runs that do not compare'
expect 8 compare runs/full --plot missing/cmp.html
expect 3 compare runs/full runs/killed
contains err 'has not ended'
cp -r runs/full elsewhere
expect 0 compare runs/full elsewhere --plot cmp.html
contains cmp.html '>elsewhere<'
no_leftovers
finish
