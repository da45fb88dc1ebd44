"""Figures of the visuals of distillers."""
from typing import Any, Dict, List, Sequence

import numpy as np

from mmkd.core.visuals import Visual
from mmkd.visualization.painters import Scene, paint, paint_panel
from mmkd.visualization.sheet import Sheet


def _norms(visuals: Sequence[Visual],
           values: Sequence[Sequence[np.ndarray]]) -> List[Any]:
    """Colour normalisation of each visual.

    Args:
        visuals (Sequence[Visual]): The visuals.
        values (Sequence[Sequence[np.ndarray]]): All painted values of each.
    """
    from matplotlib.colors import LogNorm, Normalize
    scales: Dict[Any, list] = {}
    for i, (visual, arrays) in enumerate(zip(visuals, values)):
        finite = [array[np.isfinite(array)] for array in arrays]
        if visual.log:
            finite = [array[array > 0] for array in finite]
        scales.setdefault(visual.scale or i, []).extend(finite)
    norms = []
    for i, visual in enumerate(visuals):
        found = np.concatenate(scales[visual.scale or i] or [np.zeros(0)])
        if visual.limits is not None:
            low, high = visual.limits
        elif not found.size:
            low, high = 0., 1.
        else:
            low, high = float(found.min()), float(found.max())
        if visual.log and low > 0:
            norms.append(LogNorm(low, high if high > low else 10 * low))
            continue
        norms.append(Normalize(low, high if high > low else low + 1e-6))
    return norms


def _aspect(visuals: Sequence[Visual], scene: Scene) -> float:
    """Ratio of a panel's height to its width."""
    for visual in visuals:
        extent = getattr(visual, 'extent', None)
        if extent is not None:
            return (extent[3] - extent[1]) / (extent[2] - extent[0])
    height, width = (1, 1) if scene.image is None else scene.image.shape[:2]
    return height / width


def _groups(visuals: Sequence[Visual]) -> Dict[str, List[int]]:
    """Positions of the visuals of each group."""
    groups: Dict[str, List[int]] = {}
    for i, visual in enumerate(visuals):
        groups.setdefault(visual.group, []).append(i)
    return groups


def array_of(visual: Visual, index: int = 0) -> np.ndarray:
    """The values of a visual for one image of its batch."""
    return visual.values[index].detach().float().cpu().numpy()


def draw_visuals(visuals: Sequence[Visual],
                 scene: Scene,
                 title: str = '',
                 columns: int = 7) -> Sheet:
    """Draw a sheet for an image: ground truth, predictions and visuals.

    Args:
        visuals (Sequence[Visual]): Visuals of a batch of one image. Each
            group starts a new row.
        scene (Scene): The image.
        title (str): Title of the sheet. Defaults to ''.
        columns (int): Maximum number of panels in a row. Defaults to 7.
    """
    arrays = [array_of(visual) for visual in visuals]
    norms = _norms(visuals, [[array] for array in arrays])
    header: Dict[str, Any] = {}
    if scene.image is not None:
        header = {'image': scene.image, **scene.panels}
    rows = [
        group[at:at + columns] for group in _groups(visuals).values()
        for at in range(0, len(group), columns)
    ]
    sheet = Sheet(
        len(rows) + bool(header), max([len(header), *map(len, rows)]),
        _aspect(visuals, scene), title)
    for column, (name, shown) in enumerate(header.items()):
        panel = sheet.panel(0, column)
        panel.title(name)
        paint_panel(panel, shown, scene)
    for row, places in enumerate(rows, start=bool(header)):
        for column, i in enumerate(places):
            visual, panel = visuals[i], sheet.panel(row, column)
            panel.title(visual.name)
            if not column:
                size = 'x'.join(map(str, arrays[i].shape[:2]))
                panel.label(
                    f'{visual.group}\n{size}' if visual.group else size)
            explained = paint(visual, panel, arrays[i], scene, norms[i])
            after = places[column + 1] if column + 1 < len(places) else None
            shared = after is not None and visual.scale and (
                visuals[after].scale == visual.scale)
            if explained and not shared:
                panel.color_bar(norms[i])
    return sheet


def _key(visual: Visual) -> str:
    return f'{visual.group}|{visual.name}'


class History:
    """Values of changing visuals at some iterations of a training run.

    Args:
        most (int): Maximum number of iterations to keep, including the first
            and the last; those between are thinned evenly. Defaults to 6.
    """

    def __init__(self, most: int = 6) -> None:
        self.most = max(most, 2)
        self.frames: Dict[int, Dict[str, np.ndarray]] = {}

    def add(self, step: int, visuals: Sequence[Visual]) -> None:
        """Store the current values of changing visuals."""
        self.frames[step] = {
            _key(visual): array_of(visual)
            for visual in visuals if visual.changes
        }
        steps = sorted(self.frames)
        while len(steps) > self.most:
            gaps = [after - before for before, after in zip(steps, steps[2:])]
            self.frames.pop(steps.pop(1 + gaps.index(min(gaps))))

    def save(self, path: str) -> None:
        """Save it to a file, for a resumed run."""
        np.savez_compressed(
            path, **{
                f'{step}|{key}': array
                for step, frame in self.frames.items()
                for key, array in frame.items()
            })

    def load(self, path: str, until: int) -> None:
        """Load the values up to an iteration."""
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                step, key = name.split('|', 1)
                if int(step) <= until:
                    self.frames.setdefault(int(step), {})[key] = file[name]


def draw_history(history: History,
                 visuals: Sequence[Visual],
                 scene: Scene,
                 title: str = '') -> Dict[str, Sheet]:
    """Draw strips over the iterations, one sheet per group.

    All panels of a row, and rows with a common scale, share their colours.

    Args:
        history (History): The stored values.
        visuals (Sequence[Visual]): The same visuals with current values.
        scene (Scene): The image.
        title (str): Title of the sheets. Defaults to ''.

    Returns:
        dict[str, Sheet]: Sheets by group; empty if there are fewer than two
        iterations or no changing visuals.
    """
    steps = sorted(history.frames)
    sheets: Dict[str, Sheet] = {}
    for group, places in _groups(visuals).items():
        # A visual that is new since a restart has no history.
        shown = [
            visuals[i] for i in places if all(
                _key(visuals[i]) in history.frames[step] for step in steps)
        ]
        if len(steps) < 2 or not shown:
            continue
        arrays = [[history.frames[step][_key(visual)] for step in steps]
                  for visual in shown]
        norms = _norms(shown, arrays)
        heading = f'{title}, {group}' if group else title
        sheet = Sheet(len(shown), len(steps), _aspect(shown, scene), heading)
        for row, visual in enumerate(shown):
            for column, step in enumerate(steps):
                panel = sheet.panel(row, column)
                if not row:
                    panel.title(f'iteration {step}')
                if not column:
                    panel.label(visual.name)
                array = arrays[row][column]
                explained = paint(visual, panel, array, scene, norms[row])
                # The common colours may hide the range of a single panel.
                finite = array[np.isfinite(array)]
                if finite.size:
                    panel.note(f'{finite.min():.3g} to {finite.max():.3g}')
            if explained:
                panel.color_bar(norms[row])
        sheets[group] = sheet
    return sheets
