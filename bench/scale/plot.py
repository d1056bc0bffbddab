"""Efficiency over GPUs as SVG: a panel for each job, a line for each cohort."""
import math

COLOURS = ["#aa3377", "#ee6677", "#ccbb44", "#228833", "#66ccee", "#4477aa"]
W, H, LEFT, TOP, PW, PH, ROW = 330, 262, 44, 34, 270, 180, 3


def panel(rows, title, gpus, cohorts, x0, y0):
    low, high = math.log2(gpus[0]), math.log2(gpus[-1])
    x = lambda g: x0 + LEFT + PW * (math.log2(g) - low) / (high - low)
    y = lambda e: y0 + TOP + PH * (1 - e)
    out = [f'<text x="{x0 + LEFT}" y="{y0 + TOP - 12}" font-weight="bold">{title}</text>']
    for e in (0, 0.25, 0.5, 0.75, 1):
        out.append(f'<line x1="{x(gpus[0]):.1f}" x2="{x(gpus[-1]):.1f}" y1="{y(e):.1f}" y2="{y(e):.1f}" stroke="#ddd"/>'
                   f'<text x="{x0 + LEFT - 6}" y="{y(e) + 4:.1f}" text-anchor="end">{e:g}</text>')
    for g in gpus:
        out.append(f'<text x="{x(g):.1f}" y="{y0 + TOP + PH + 16}" text-anchor="middle">{g}</text>')
    for row in rows:
        colour = COLOURS[cohorts.index(row["clients"])]
        points = " ".join(f'{x(g):.1f},{y(row["efficiency"][g]):.1f}' for g in gpus)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    return out


def svg(rows, gpus, cohorts, kinds):
    jobs = []
    for r in rows:
        job = (r["device"], r["kind"], r.get("checks", 0))
        if job not in jobs:
            jobs.append(job)
    body = []
    for i, (device, kind, checks) in enumerate(jobs):
        mine = [r for r in rows if (r["device"], r["kind"], r.get("checks", 0)) == (device, kind, checks)]
        title = f"{device}, {kinds[kind]}" + (f", {checks} checks" if checks else "")
        body += panel(mine, title, gpus, cohorts, i % ROW * W, i // ROW * H)
    height = -(-len(jobs) // ROW) * H
    for i, c in enumerate(cohorts):
        body.append(f'<text x="{LEFT + 150 * i}" y="{height + 16}" fill="{COLOURS[i]}">{c:,} clients a round</text>')
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{ROW * W}" height="{height + 44}" '
                      f'viewBox="0 0 {ROW * W} {height + 44}" font-family="sans-serif" font-size="11">',
                      f'<rect width="{ROW * W}" height="{height + 44}" fill="white"/>', *body,
                      f'<text x="{LEFT}" y="{height + 36}" fill="#444">efficiency over GPUs, by a model, not measured: time on one over '
                      'GPUs times the time on all; 8 local steps a client in the mean, no evaluation</text>', "</svg>", ""])
