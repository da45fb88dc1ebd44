"""A picture of shares over a training."""
from typing import Dict, List, Tuple

#: Iterations, and what each part has of a whole there, from 0 to 1.
Shares = List[Tuple[int, Dict[str, float]]]


def draw_shares(shares: Shares, path: str) -> None:
    """Draw shares over the iterations, stacked.

    Args:
        shares (list[tuple]): Iterations in ascending order, and the shares by
            name; a missing one is 0.
        path (str): The PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    iterations = [iteration for iteration, _ in shares]
    names = list(dict.fromkeys(name for _, found in shares for name in found))
    if 'student' in names:  # the task is at the bottom
        names.sort(key=lambda name: name != 'student')
    figure = Figure(figsize=(7, 3.5), dpi=120, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.stackplot(
        iterations,
        [[100 * found.get(name, 0.) for _, found in shares] for name in names],
        labels=['task' if name == 'student' else name for name in names],
        alpha=0.85)
    axes.set(
        xlim=(iterations[0], iterations[-1]),
        ylim=(0, 100),
        xlabel='iteration',
        ylabel='% of the gradients at the taps')
    axes.legend(loc='center left', bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path)
