"""The picture of the results: gain against cost, a panel a task."""
import io
from typing import Dict, List, Sequence, Tuple

from benchmarks.published import Row

# Colours that colour-blind readers tell apart.
_COLOURS = {1: '#0072B2', 0: '#7F7F7F', -1: '#D55E00'}
_STYLE = {
    'svg.hashsalt': 'mmkd',
    'svg.fonttype': 'none',
    'font.family': 'sans-serif',
    'font.size': 9,
    'axes.spines.top': False,
    'axes.spines.right': False
}
_TITLE = 'Blue: distillation is better. Orange: the student alone is better.'
_NOTE = ('Gain at equal time, in points of 100. Circles: real data. Squares: '
         'scenes.\nBars: two standard errors; grey: zero is within, or it is '
         'too early to say.')


def picture(rows: Dict[str, List[Row]]) -> str:
    """Draw the rows of the tasks.

    Args:
        rows (dict[str, list[Row]]): The rows of each task.

    Returns:
        str: An SVG; the same rows give the same text.
    """
    import matplotlib
    from matplotlib.figure import Figure
    with matplotlib.rc_context(_STYLE):
        heights = [0.17 * len(part) + 0.7 for part in rows.values()]
        figure = Figure(figsize=(10, sum(heights) + 0.75 * len(rows) + 0.95))
        tall = figure.get_figheight()
        bottom = tall - 0.65
        for (task, part), height in zip(rows.items(), heights):
            bottom -= height + 0.75
            axes = figure.add_axes(
                (0.06, (bottom + 0.4) / tall, 0.46, height / tall))
            _draw(axes, task, part)
        top = 1 - 0.25 / tall
        figure.text(0.01, top, _TITLE, fontsize=12, fontweight='bold')
        figure.text(0.01, top - 0.1 / tall, _NOTE, va='top')
        out = io.StringIO()
        figure.savefig(out, format='svg', metadata=dict(Date=None))
    return out.getvalue()


def _limits(rows: Sequence[Row]) -> Tuple[float, float]:
    """Of the gains; one far above all others does not flatten them."""
    ends = sorted(
        abs(row.equal_time.mean) + 2 * (row.equal_time.error or 0)
        for row in rows)
    top = ends[-1]
    if len(ends) > 1 and top > 5 * ends[-2]:
        top = ends[-2]
    low = min(
        0,
        *(row.equal_time.mean - 2 * (row.equal_time.error or 0)
          for row in rows))
    high = max(
        0,
        *(row.equal_time.mean + 2 * (row.equal_time.error or 0)
          for row in rows))
    return max(low, -top) - 0.1 * top, min(high, top) + 0.1 * top


def _spread(wanted: Sequence[float], gap: float, low: float,
            high: float) -> List[float]:
    """Descending places at least a gap apart, near those wanted."""
    places = list(wanted)
    limit = high
    for i, place in enumerate(places):
        places[i] = min(place, limit)
        limit = places[i] - gap
    limit = low
    for i in reversed(range(len(places))):
        places[i] = max(places[i], limit)
        limit = places[i] + gap
    return places


def _draw(axes, task: str, rows: List[Row]) -> None:
    rows = sorted(rows, key=lambda row: -row.equal_time.mean)
    low, high = _limits(rows)
    costs = [row.cost[0] for row in rows]
    cheap, dear = min(1., *costs), max(1.2, *costs)
    margin = 0.07 * (dear - cheap)
    left, right = cheap - margin, dear + margin
    axes.set(
        xlim=(left, right),
        ylim=(low, high),
        xlabel="cost of a step beside the student's own")
    axes.xaxis.set_major_formatter('{x:g}x')
    axes.set_title(task, loc='left', fontweight='bold')
    axes.axhline(0, color='black', linewidth=0.8)
    axes.axhspan(0, high, color=_COLOURS[1], alpha=0.05, linewidth=0)
    axes.axhspan(low, 0, color=_COLOURS[-1], alpha=0.05, linewidth=0)
    height = axes.get_position().height * axes.figure.get_figheight()
    gap = (high - low) * 0.165 / height
    texts = _spread([min(max(row.equal_time.mean, low), high) for row in rows],
                    gap, low + gap / 2, high - gap / 2)
    labels = [row.label.replace(', `--fast`', '') for row in rows]
    beside = [right + share * (right - left) for share in (0.02, 0.05, 0.06)]
    for row, label, x, text in zip(rows, labels, costs, texts):
        if labels.count(label) > 1:
            label += f', {row.data}'
        colour = _COLOURS[row.sign]
        inset = 0.04 * (high - low)
        y = min(max(row.equal_time.mean, low + inset), high - inset)
        beyond = y != row.equal_time.mean
        axes.plot([x, *beside[:2]], [y, text, text],
                  color='0.75',
                  linewidth=0.6,
                  clip_on=False,
                  zorder=1)
        axes.errorbar(
            x,
            y,
            None if beyond else 2 * (row.equal_time.error or 0),
            fmt='v^'[y > 0] if beyond else 'o' if row.real else 's',
            color=colour,
            markersize=6,
            elinewidth=1.4,
            zorder=3)
        axes.text(
            beside[2],
            text,
            f'{row.equal_time.mean:+.1f}  {label}',
            color=colour,
            va='center')
