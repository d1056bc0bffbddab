"""Tables, plots and the plain figures of study.py's runs.

A run's rounds are [checks, local steps so far, bytes so far, seconds so far, accuracy or None]. Reaching a target
means: the first evaluation at or above it."""
import math
import os
import statistics

TARGETS = [0.7, 0.9]  # shares of the reference
WHAT = ["rounds", "MB", "local steps", "seconds"]
BASE = "FDA-Opt"


def final(run):
    accuracy = [r[4] for r in run["rounds"] if r[4] is not None]
    return statistics.mean(accuracy[-3:]) if accuracy else 0.0


def mean_by(runs, *fields):
    groups = {}
    for run in runs:
        groups.setdefault(tuple(run[f] for f in fields), []).append(run)
    return groups


def references(runs):
    """(data, alpha) -> the best mean final accuracy of any method and arm there."""
    best = {}
    for (data, alpha, _, _), group in mean_by(runs, "data", "alpha", "method", "arm").items():
        best[data, alpha] = max(best.get((data, alpha), 0.0), statistics.mean(final(r) for r in group))
    return best


def reached(run, target):
    """-> [rounds, MB, local steps, seconds] at the first evaluation at or above the target, or None."""
    for i, (_, steps, sent, seconds, accuracy) in enumerate(run["rounds"]):
        if accuracy is not None and accuracy >= target:
            return [i + 1, sent / 1e6, steps, seconds]
    return None


def cell(group, target):
    got = [reached(r, target) for r in group]
    good = [g for g in got if g]
    if not good:
        return f"– (0/{len(got)})"
    means = [statistics.mean(g[i] for g in good) for i in range(4)]
    text = f"{means[0]:.0f} / {means[1]:.1f} / {means[2]:.0f} / {means[3]:.0f}"
    return text if len(good) == len(got) else f"{text} ({len(good)}/{len(got)})"


def tables(runs, arms, methods):
    out, best = [], references(runs)
    for (data, alpha), reference in sorted(best.items()):
        for share in TARGETS:
            target = share * reference
            out += ["", f"{data}, alpha {alpha}: to accuracy {target:.3f} ({share:.0%} of {reference:.3f}); "
                    + " / ".join(WHAT), "", "| | " + " | ".join(arms) + " |", "| --- |" + " --- |" * len(arms)]
            for method in methods:
                cells = []
                for arm in arms:
                    group = [r for r in runs if (r["data"], r["alpha"], r["method"], r["arm"])
                             == (data, alpha, method, arm)]
                    cells.append(cell(group, target) if group else "")
                out.append(f"| {method} | " + " | ".join(cells) + " |")
    return out


def ratios(runs, arms):
    """Every arm over FDA-Opt, pair by pair (same data, alpha, method, seed): geometric means, wins of FDA-Opt."""
    best, out = references(runs), []
    by = {(r["data"], r["alpha"], r["method"], r["seed"], r["arm"]): r for r in runs}
    for share in TARGETS:
        out += ["", f"To {share:.0%} of the reference, over {BASE} (above 1: {BASE} needs less); pairs that both reach it; "
                f"then who alone reaches it", "",
                "| arm | pairs | rounds | bytes | local steps | seconds | fewer rounds: FDA-Opt / equal / arm | only FDA-Opt | only arm |",
                "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
        for arm in arms:
            if arm == BASE:
                continue
            logs, wins, alone = [[] for _ in WHAT], [0, 0, 0], [0, 0]
            for key, run in by.items():
                if key[4] != arm or (*key[:4], BASE) not in by:
                    continue
                target = share * best[key[0], key[1]]
                mine, base = reached(run, target), reached(by[(*key[:4], BASE)], target)
                if mine and base:
                    for i in range(4):
                        logs[i].append(math.log(mine[i] / base[i]))
                    wins[0 if mine[0] > base[0] else 1 if mine[0] == base[0] else 2] += 1
                elif mine or base:
                    alone[bool(mine)] += 1
            if not logs[0]:
                out.append(f"| {arm} | 0 | | | | | | {alone[0]} | {alone[1]} |")
                continue
            means = " | ".join(f"{math.exp(statistics.mean(x)):.2f}" for x in logs)
            out.append(f"| {arm} | {len(logs[0])} | {means} | {wins[0]} / {wins[1]} / {wins[2]} | {alone[0]} | {alone[1]} |")
    return out


def facts(runs):
    """Checks a round of FDA-Opt after the first, and what checks cost on the wire."""
    checks = [r[0] for run in runs if run["arm"] == BASE for r in run["rounds"][1:-1]]
    if not checks:
        return []
    return ["", f"Checks (epochs) in a round of FDA-Opt, the first and last round left out: mean "
            f"{statistics.mean(checks):.2f}, median {statistics.median(checks)}, {checks.count(10)} of {len(checks)} at "
            "the cap of 10."]


# ---- plots ----

COLOURS = ["#4477aa", "#66ccee", "#228833", "#ee6677", "#ccbb44", "#aa3377"]
W, H, LEFT, TOP, PW, PH = 330, 230, 46, 34, 270, 150


def curve(group, x):
    """Mean accuracy over seeds on a grid of x: each seed's last evaluation so far."""
    ends = [run["rounds"][-1] for run in group if run["rounds"]]
    if not ends:
        return []
    value = (lambda i, r: i + 1) if x == 0 else (lambda i, r: r[2] / 1e6) if x == 1 else (lambda i, r: r[1])
    series = [[(value(i, r), r[4]) for i, r in enumerate(run["rounds"]) if r[4] is not None] for run in group]
    end = min(s[-1][0] for s in series if s)
    grid, points = [end * i / 60 for i in range(61)], []
    for g in grid:
        now = [[a for at, a in s if at <= g] for s in series]
        if all(now):
            points.append((g, statistics.mean(a[-1] for a in now)))
    return points


def panel(lines, title, x_title, x0, y0, top):
    flat = [p for _, points in lines for p in points]
    if not flat:
        return []
    right = max(p[0] for p in flat)
    x = lambda v: x0 + LEFT + PW * v / right
    y = lambda a: y0 + TOP + PH * (1 - a / top)
    out = [f'<text x="{x0 + LEFT}" y="{y0 + TOP - 10}" font-weight="bold">{title}</text>',
           f'<text x="{x0 + LEFT + PW / 2}" y="{y0 + TOP + PH + 32}" text-anchor="middle">{x_title}</text>']
    for i in range(int(top * 10) + 1):
        if i % 2 == 0:
            out.append(f'<line x1="{x0 + LEFT}" x2="{x0 + LEFT + PW}" y1="{y(i / 10):.1f}" y2="{y(i / 10):.1f}" '
                       f'stroke="#ddd"/><text x="{x0 + LEFT - 6}" y="{y(i / 10) + 4:.1f}" text-anchor="end">{i / 10}</text>')
    for share in (0, 0.5, 1):
        out.append(f'<text x="{x(right * share):.1f}" y="{y0 + TOP + PH + 16}" text-anchor="middle">{right * share:.3g}</text>')
    for colour, points in lines:
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    return out


def plot(runs, arms, methods):
    top = math.ceil(10 * max(final(r) for r in runs)) / 10
    out = []
    for row, method in enumerate(methods):
        for x in range(3):
            lines = [(COLOURS[i], curve([r for r in runs if r["method"] == method and r["arm"] == arm], x))
                     for i, arm in enumerate(arms)]
            out += panel(lines, method, ["rounds", "MB on the wire", "local steps"][x], x * W, row * H + 20, top)
    for i, arm in enumerate(arms):
        out.append(f'<text x="{LEFT + 110 * i}" y="18" fill="{COLOURS[i]}" font-weight="bold">{arm}</text>')
    width, height = 3 * W, len(methods) * H + 30
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} '
                      f'{height}" font-family="sans-serif" font-size="12">',
                      f'<rect width="{width}" height="{height}" fill="white"/>', *out, "</svg>", ""])


def write(runs, folder, prefix):
    if not runs:
        return
    arms, methods = list(dict.fromkeys(r["arm"] for r in runs)), list(dict.fromkeys(r["method"] for r in runs))
    seeds = len({r["seed"] for r in runs})
    text = [f"{len(runs)} runs, {seeds} seed{'s' if seeds > 1 else ''}; cells are means over the seeds that reach the "
            "target", *tables(runs, arms, methods), *ratios(runs, arms), *facts(runs), ""]
    print("\n".join(text))
    with open(os.path.join(folder, f"{prefix}tables.md"), "w") as f:
        f.write("\n".join(text))
    for (data, alpha), group in mean_by(runs, "data", "alpha").items():
        with open(os.path.join(folder, f"{prefix}{data}-alpha-{alpha}.svg"), "w") as f:
            f.write(plot(group, arms, methods))
    print(f"plots: {folder}/{prefix}*.svg")
