"""A line chart as SVG, without a plotting package: what the notebooks beside it need and no more."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 300, 70, 40, 40
COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df")


def chart(title: str, labels: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> str:
    """One line for each series, a point for each label; None is a gap."""
    known = [value for values in series.values() for value in values if value is not None]
    low, high = min(0.0, *known), max(known) * 1.1 or 1.0

    def at(n: int, value: float) -> tuple[float, float]:
        across = (WIDTH - LEFT - 20) / max(len(labels) - 1, 1)
        return LEFT + n * across, TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [_text(LEFT, 20, title, size=15)]
    for step in range(5):
        value = low + (high - low) * step / 4
        _, y = at(0, value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>')
        parts.append(_text(LEFT - 8, y + 4, f"{value / 1e6:,.0f} M" if high >= 1e6 else f"{value:.3g}", anchor="end"))
    for n, label in enumerate(labels):
        parts.append(_text(at(n, low)[0], HEIGHT - 18, label, anchor="middle"))
    for number, (name, values) in enumerate(series.items()):
        parts += _line(name, [None if v is None else at(n, v) for n, v in enumerate(values)], COLOURS[number], number)
    box = f'viewBox="0 0 {WIDTH} {HEIGHT + 20 * len(series)}" width="{WIDTH}"'
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{html.escape(title)}">\n'
        '<rect width="100%" height="100%" fill="#ffffff"/>\n'
        f'<g font-family="system-ui, sans-serif" fill="#1f2328">\n{body}\n</g>\n</svg>\n'
    )


def _line(name: str, points: Sequence[tuple[float, float] | None], colour: str, number: int) -> list[str]:
    path, pen = "", "M"
    for point in points:
        path, pen = (f"{path}{pen}{point[0]:.1f} {point[1]:.1f}", "L") if point else (path, "M")
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in filter(None, points)]
    y = HEIGHT + 20 * number
    legend = [f'<rect x="{LEFT}" y="{y - 4}" width="16" height="4" fill="{colour}"/>', _text(LEFT + 24, y + 2, name)]
    return [f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots, *legend]


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{html.escape(text)}</text>'
