"""Charts as inline SVG; their colours are CSS classes of the page."""
import math
from html import escape
from typing import List, NamedTuple, Optional, Sequence, Tuple

#: Size of a chart and its margins: left, right, top, bottom.
_WIDTH, _HEIGHT = 460, 250
_MARGINS = (46, 12, 10, 38)


class Line(NamedTuple):
    """A line of a chart.

    Attributes:
        name (str): Its name in the legend.
        color (int): Number of the colour of its group.
        x, y (Sequence[float]): Its points.
        faint (bool): Whether it is one seed behind a mean.
    """
    name: str
    color: int
    x: Sequence[float]
    y: Sequence[float]
    faint: bool = False


def ticks(low: float, high: float, count: int = 5) -> List[float]:
    """Round numbers in a range, about as many as asked for."""
    if not high > low:
        return [low]
    step = 10**math.floor(math.log10((high - low) / count))
    for factor in (1, 2, 5, 10):
        if (high - low) / (factor * step) <= count:
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def smooth(values: Sequence[float]) -> List[float]:
    """Moving average over a tenth of the values."""
    width = len(values) // 20
    return [
        sum(values[max(0, i - width):i + width + 1]) /
        len(values[max(0, i - width):i + width + 1])
        for i in range(len(values))
    ]


def mean_line(lines: Sequence[Line]) -> Optional[Line]:
    """The mean of lines at the positions that all have."""
    shared = sorted(set.intersection(*(set(line.x) for line in lines)))
    if len(lines) < 2 or not shared:
        return None
    tables = [dict(zip(line.x, line.y)) for line in lines]
    return Line(
        lines[0].name, lines[0].color, shared,
        [sum(table[x] for table in tables) / len(tables) for x in shared])


def line_chart(lines: Sequence[Line],
               label: str,
               from_zero: bool = False) -> str:
    """Draw lines over the iterations.

    Args:
        lines (Sequence[Line]): The lines.
        label (str): What the chart shows, for readers that do not see it.
        from_zero (bool): Whether the axis begins at 0. Defaults to False.

    Returns:
        str: The SVG; empty if there is nothing to draw.
    """
    points = [(x, y) for line in lines for x, y in zip(line.x, line.y)
              if math.isfinite(y)]
    if not points:
        return ''
    low, high = min(y for _, y in points), max(y for _, y in points)
    if from_zero:
        low = min(low, 0.0)
    if high - low < 1e-12:
        low, high = low - abs(low) / 10 - 1e-3, high + abs(high) / 10 + 1e-3
    pad = 0.05 * (high - low)
    low, high = low if from_zero and low == 0 else low - pad, high + pad
    end = max(x for x, _ in points)
    left, right, top, bottom = _MARGINS

    def place(x: float, y: float) -> Tuple[float, float]:
        return (left + (_WIDTH - left - right) * x / (end or 1),
                top + (_HEIGHT - top - bottom) * (high - y) / (high - low))

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(label)}">'
    ]
    for y in ticks(low, high):
        row = place(0, y)[1]
        parts.append(f'<line class="rule" x1="{left}" x2="{_WIDTH - right}" '
                     f'y1="{row:.1f}" y2="{row:.1f}"/>'
                     f'<text x="{left - 7}" y="{row + 4:.1f}" '
                     f'text-anchor="end">{y:.6g}</text>')
    for x in ticks(0, end):
        column = place(x, low)[0]
        anchor = 'end' if column > _WIDTH - 30 else 'middle'
        parts.append(f'<text x="{column:.1f}" y="{_HEIGHT - bottom + 17}" '
                     f'text-anchor="{anchor}">{_short(x)}</text>')
    parts.append(f'<text class="axis" x="{(_WIDTH + left - right) / 2}" '
                 f'y="{_HEIGHT - 4}" text-anchor="middle">iteration</text>')
    for line in lines:
        placed = [
            place(x, y) for x, y in zip(line.x, line.y) if math.isfinite(y)
        ]
        look = f'c{line.color}' + (' faint' if line.faint else '')
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y in placed)
        parts.append(f'<polyline class="{look}" points="{path}"/>')
        if len(placed) <= 12:
            parts += [
                f'<circle class="{look}" cx="{x:.1f}" cy="{y:.1f}" r="3.2"/>'
                for x, y in placed
            ]
    return ''.join([*parts, '</svg>'])


def seed_chart(base: Sequence[float], other: Sequence[float],
               names: Sequence[str], color: int, label: str) -> str:
    """Draw the paired values of each seed, joined by lines.

    Args:
        base, other (Sequence[float]): Values of both groups by seed.
        names (Sequence[str]): What each pair is called, such as ``seed 0``.
        color (int): Number of the colour of the other group.
        label (str): What the chart shows, for readers that do not see it.
    """
    values = [*base, *other]
    low, high = min(values), max(values)
    pad = 0.08 * (high - low) or 1.0
    low, high = low - pad, high + pad
    row, left, right, top = 26, 72, 16, 8
    height = top + row * len(names) + 26

    def place(value: float) -> float:
        return left + (_WIDTH - left - right) * (value - low) / (high - low)

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(label)}">'
    ]
    for value in ticks(low, high):
        x = place(value)
        parts.append(f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" '
                     f'y1="{top}" y2="{height - 24}"/>'
                     f'<text x="{x:.1f}" y="{height - 8}" '
                     f'text-anchor="middle">{value:.6g}</text>')
    for i, (name, first, second) in enumerate(zip(names, base, other)):
        y = top + row * i + row / 2
        parts.append(
            f'<text x="{left - 14}" y="{y + 4}" text-anchor="end">'
            f'{escape(name)}</text>'
            f'<line class="c{color} bar" x1="{place(first):.1f}" '
            f'x2="{place(second):.1f}" y1="{y}" y2="{y}"/>'
            f'<circle class="c0" cx="{place(first):.1f}" cy="{y}" r="5"/>'
            f'<circle class="c{color}" cx="{place(second):.1f}" cy="{y}" '
            'r="5"/>')
    return ''.join([*parts, '</svg>'])


def _short(value: float) -> str:
    """An iteration, as 80k for 80000."""
    return f'{value / 1000:.6g}k' if value >= 10000 else f'{value:.6g}'
