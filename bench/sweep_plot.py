"""A plot of sweep.py's cells as SVG: ratio to the rival over tokens of a client step, one line per number of
clients, and dashed above each the most that the FLOP floor allows."""
import math

COLOURS = ["#4477aa", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#66ccee"]
WIDTH, HEIGHT, LEFT, TOP, PLOT_W, PLOT_H = 470, 330, 50, 40, 380, 230


def panel(cells, model, dtype, x0):
    mine = [c for c in cells if c["model"] == model and c["dtype"] == dtype]
    tokens = sorted({c["tokens"] for c in mine})
    low, high = math.log2(tokens[0]), math.log2(tokens[-1])
    top = math.ceil(max(c["most"] for c in mine)) + 0.5
    x = lambda t: x0 + LEFT + (PLOT_W * (math.log2(t) - low) / (high - low) if high > low else PLOT_W / 2)
    y = lambda r: TOP + PLOT_H * (1 - r / top)
    out = [f'<text x="{x0 + LEFT}" y="{TOP - 14}" font-weight="bold">{model}, {dtype}</text>']
    for r in range(int(top) + 1):
        out.append(f'<line x1="{x0 + LEFT}" x2="{x0 + LEFT + PLOT_W}" y1="{y(r):.1f}" y2="{y(r):.1f}" '
                   f'stroke="{"#666" if r == 1 else "#ddd"}"/>'
                   f'<text x="{x0 + LEFT - 8}" y="{y(r) + 4:.1f}" text-anchor="end">{r}</text>')
    for t in tokens:
        out.append(f'<text x="{x(t):.1f}" y="{TOP + PLOT_H + 18}" text-anchor="middle">{t}</text>')
    out.append(f'<text x="{x0 + LEFT + PLOT_W / 2}" y="{TOP + PLOT_H + 38}" text-anchor="middle">tokens of a client '
               'step</text>')
    for i, k in enumerate(sorted({c["clients"] for c in mine})):
        line = sorted((c for c in mine if c["clients"] == k), key=lambda c: c["tokens"])
        colour = COLOURS[i % len(COLOURS)]
        for field, style in (("ratio", ""), ("most", ' stroke-dasharray="4 4" stroke-opacity="0.6"')):
            points = " ".join(f'{x(c["tokens"]):.1f},{y(c[field]):.1f}' for c in line)
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{style}/>')
        out += [f'<circle cx="{x(c["tokens"]):.1f}" cy="{y(c["ratio"]):.1f}" r="3" fill="{colour}"/>' for c in line]
        out.append(f'<text x="{x0 + LEFT + PLOT_W - 90}" y="{TOP + 14 + 16 * i}" fill="{colour}">'
                   f'{k} client{"s" if k > 1 else ""}</text>')
    return out


def svg(cells):
    panels = sorted({(c["model"], c["dtype"]) for c in cells}, key=lambda p: (p[0] != "minilm", p))
    body = [line for i, (model, dtype) in enumerate(panels) for line in panel(cells, model, dtype, i * WIDTH)]
    width = WIDTH * len(panels)
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}" '
                      f'viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif" font-size="12">',
                      f'<rect width="{width}" height="{HEIGHT}" fill="white"/>', *body,
                      f'<text x="10" y="{HEIGHT - 6}" fill="#444">client updates a second over the rival\'s; dashed: '
                      'the most that the FLOP floor allows</text>', "</svg>", ""])
