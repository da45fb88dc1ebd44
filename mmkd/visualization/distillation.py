"""Pictures of what distillers look at."""
import io
import math
import textwrap
from dataclasses import dataclass, field
from functools import singledispatch
from typing import (Any, Dict, List, NamedTuple, Optional, Sequence, Tuple,
                    Union)

import numpy as np

from mmkd.core.visuals import Heatmap, Points, Visual

#: Longer side of a panel, room at its right, above it, and at the left and
#: at the top of a sheet, in pixels.
_PANEL, _RIGHT, _ABOVE, _LEFT, _TOP = 320, 58, 26, 38, 24
_DPI = 100
_CMAP = 'viridis'
_MOST_BOXES = 40


class Boxes(NamedTuple):
    """Objects of an image.

    Attributes:
        boxes (np.ndarray): (n, 4), ``(x1, y1, x2, y2)`` in pixels of the
            prepared image.
        labels (np.ndarray): Class of each, (n, ).
        scores (np.ndarray | None): Of predictions, (n, ).
    """
    boxes: np.ndarray
    labels: np.ndarray
    scores: Optional[np.ndarray] = None


@dataclass
class Scene:
    """What visuals are drawn over, and beside.

    Attributes:
        name (str): Of the image.
        image (np.ndarray, optional): (H, W, 3) in RGB, uint8, as the student
            gets it, without padding. None for an input of another kind.
        size (tuple[int, int], optional): Height and width in pixels of the
            prepared image, padding included.
        panels (dict[str, np.ndarray | Boxes]): Truth and predictions by
            title: label maps (H, W) of classes, or objects.
        classes (Sequence[str]): Names of the classes.
        palette (Sequence[tuple]): Their colours in RGB, 0 to 255.
    """
    name: str
    image: Optional[np.ndarray] = None
    size: Optional[Tuple[int, int]] = None
    panels: Dict[str, Union[np.ndarray, Boxes]] = field(default_factory=dict)
    classes: Sequence[str] = ()
    palette: Sequence[Tuple[int, int, int]] = ()

    def color(self, label: int) -> Tuple[float, ...]:
        """Colour of a class, 0 to 1; black for what is no class."""
        from matplotlib import colormaps
        if self.classes and not 0 <= label < len(self.classes):
            return (0., 0., 0.)
        if 0 <= label < len(self.palette):
            return tuple(c / 255 for c in self.palette[label])
        return colormaps['tab20'](label % 20)[:3]


class Panel:
    """A place for one picture on a sheet.

    Args:
        sheet (Sheet): The sheet.
        box (tuple[int, int, int, int]): Left, top, width and height in
            pixels of the sheet.
    """

    def __init__(self, sheet: 'Sheet', box: Tuple[int, int, int, int]) -> None:
        self.sheet = sheet
        self.box = box

    @property
    def size(self) -> Tuple[int, int]:
        """Height and width in pixels."""
        return self.box[3], self.box[2]

    def show(self, picture: np.ndarray) -> None:
        """Show a picture (H, W, 3) of the panel's size, values 0 to 1.

        Much faster than axes of matplotlib, of which a sheet can hold
        hundreds.
        """
        left, top, width, height = self.box
        self.sheet.canvas[top:top + height, left:left + width] = picture

    def axes(self) -> Any:
        """Axes of matplotlib in this place, for what is no picture."""
        left, top, width, height = self.box
        rows, columns = self.sheet.canvas.shape[:2]
        axes = self.sheet.figure.add_axes(
            (left / columns, 1 - (top + height) / rows, width / columns,
             height / rows))
        axes.set(xticks=[], yticks=[], facecolor='none')
        return axes

    def title(self, text: str) -> None:
        """Write above it."""
        left, top, width, _ = self.box
        self.sheet.write(
            left + width / 2, top - 4, text, ha='center', va='bottom')

    def label(self, text: str) -> None:
        """Write at its left, upwards, in several lines if need be."""
        left, top, _, height = self.box
        text = '\n'.join(
            textwrap.fill(line, max(height // 7, 8))
            for line in text.splitlines())
        self.sheet.write(
            left - 6,
            top + height / 2,
            text,
            ha='right',
            va='center',
            rotation=90,
            weight='bold')

    def note(self, text: str) -> None:
        """Write into its lower right corner."""
        left, top, width, height = self.box
        self.sheet.write(
            left + width - 3,
            top + height - 3,
            text,
            fontsize=7,
            color='white',
            ha='right',
            va='bottom',
            bbox=dict(facecolor='black', edgecolor='none', alpha=0.5, pad=1))

    def color_bar(self, norm: Any) -> None:
        """Explain the colours at its right."""
        left, top, width, height = self.box
        left += width + 5
        shares = np.linspace(1, 0, height)
        colors = np.repeat(_colors(shares)[:, None], 9, axis=1)
        self.sheet.canvas[top:top + height, left:left + 9] = colors
        marks = [float(norm.inverse(share)) for share in (0., 0.5, 1.)]
        # As many digits as tell them apart.
        span = math.floor(math.log10(marks[2] - marks[0]))
        kind = '.1e' if not -4 < span < 5 else f'.{max(0, 1 - span)}f'
        if marks[1] - marks[0] < 0.4 * (marks[2] - marks[0]):
            kind = '.2g'  # a logarithmic scale
        for share, mark in zip((0., 0.5, 1.), marks):
            self.sheet.write(
                left + 13,
                top + (1 - share) * (height - 1),
                format(mark, kind),
                fontsize=7,
                va='center')


class Sheet:
    """A figure of panels of one size, in rows and columns.

    Args:
        rows (int): Rows of panels.
        columns (int): Columns of panels.
        aspect (float): Height of a panel over its width.
        title (str): What stands above them. Defaults to ''.
    """

    def __init__(self,
                 rows: int,
                 columns: int,
                 aspect: float,
                 title: str = '') -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        self.width = round(_PANEL * min(1, 1 / aspect))
        self.height = max(round(_PANEL * min(1, aspect)), 40)
        size = (_TOP + rows * (self.height + _ABOVE) + 8,
                _LEFT + columns * (self.width + _RIGHT))
        self.canvas = np.ones((*size, 3), np.float32)
        self.figure = Figure(
            figsize=(size[1] / _DPI, size[0] / _DPI),
            dpi=_DPI,
            facecolor='white')
        FigureCanvasAgg(self.figure)
        self.write(
            _LEFT, 5, title, ha='left', va='top', fontsize=11, weight='bold')

    def panel(self, row: int, column: int) -> Panel:
        """The panel of a row and a column."""
        left = _LEFT + column * (self.width + _RIGHT)
        top = _TOP + _ABOVE + row * (self.height + _ABOVE)
        return Panel(self, (left, top, self.width, self.height))

    def write(self, x: float, y: float, text: str, **kwargs: Any) -> None:
        """Write at a place, given in pixels from the left and the top."""
        rows, columns = self.canvas.shape[:2]
        self.figure.text(x / columns, 1 - y / rows, text, **{
            'fontsize': 9,
            **kwargs
        })

    def render(self) -> bytes:
        """The sheet as a PNG."""
        pixels = (255 * self.canvas).round().astype(np.uint8)
        self.figure.figimage(pixels, zorder=-1)
        buffer = io.BytesIO()
        # Little compression: most of the time would go into it.
        self.figure.savefig(
            buffer, format='png', dpi=_DPI, pil_kwargs=dict(compress_level=2))
        self.figure.images.clear()
        return buffer.getvalue()


@singledispatch
def paint(visual: Visual, panel: Panel, values: np.ndarray, scene: Scene,
          norm: Any) -> bool:
    """Paint a visual of one image.

    Another kind of visual registers its own function::

        @paint.register
        def paint_boxes(visual: Boxes3D, panel, values, scene, norm): ...

    Args:
        visual (Visual): What to paint; decides on the function.
        panel (Panel): Where.
        values (np.ndarray): Its values for this image.
        scene (Scene): What they lie over.
        norm (matplotlib.colors.Normalize): Turns values into shares of the
            range of colours.

    Returns:
        bool: Whether a colour bar explains it.
    """
    raise TypeError(f'nothing is known of how to paint {type(visual)}')


@paint.register
def paint_heatmap(visual: Heatmap, panel: Panel, values: np.ndarray,
                  scene: Scene, norm: Any) -> bool:
    """Paint a map over the image, or by itself in metres."""
    over = scene.image is not None and visual.extent is None
    if over:
        height, width = scene.image.shape[:2]
        image = _stretch(scene.image, panel.size) / 255
        # The map covers the padding as well.
        padded = scene.size or (height, width)
        values = _stretch(values, panel.size,
                          (height / padded[0], width / padded[1]))
    else:
        image = np.ones((*panel.size, 3))
        if visual.extent is not None:
            values = values[::-1]  # y points up
        values = _stretch(values, panel.size)
    if visual.color is not None:
        from matplotlib.colors import to_rgb
        opacity = 0.8 * np.nan_to_num(values).clip(0, 1)[..., None]
        background = 0.6 * image + 0.1 if over else image
        panel.show(opacity * to_rgb(visual.color) + (1 - opacity) * background)
        return False
    shares = np.ma.masked_invalid(norm(np.ma.masked_invalid(values)))
    colors = _colors(shares)
    if over:
        grey = 0.15 + 0.7 * image.mean(axis=2, keepdims=True)
        # What is low shows more of the image.
        opacity = 0.4 + 0.5 * shares.filled(0.5).clip(0, 1)[..., None]
        colors = opacity * colors + (1 - opacity) * grey
    panel.show(colors)
    return True


@paint.register
def paint_points(visual: Points, panel: Panel, values: np.ndarray,
                 scene: Scene, norm: Any) -> bool:
    """Paint points over a cloud, with lines between some of them.

    Of a visual's scans the first is painted, since pictures are of one.
    """

    def first(parts: Sequence[Any]) -> Optional[np.ndarray]:
        return parts[0].detach().float().cpu().numpy() if len(parts) else None

    places, cloud, edges = map(first,
                               (visual.positions, visual.cloud, visual.edges))
    panel.show(np.ones((*panel.size, 3)))
    axes = panel.axes()
    x_min, y_min, x_max, y_max = visual.extent
    axes.set(xlim=(x_min, x_max), ylim=(y_min, y_max))
    for spine in axes.spines.values():
        spine.set(color='0.7', linewidth=0.5)
    if cloud is not None:
        axes.scatter(*cloud.T, s=0.6, color='0.65', linewidths=0)
    shown = np.isfinite(values)
    colors = _colors(norm(np.where(shown, values, 0)))
    if edges is not None and len(edges):
        from matplotlib.collections import LineCollection
        edges = edges.astype(int)
        axes.add_collection(
            LineCollection(
                places[edges], colors=colors[edges[:, 0]], linewidths=0.6))
    # What is high lies above.
    order = np.argsort(np.where(shown, values, -np.inf))[(~shown).sum():]
    axes.scatter(*places[order].T, s=5, c=colors[order], linewidths=0)
    return True


def _colors(shares: np.ndarray) -> np.ndarray:
    """Colours (..., 3) of shares from 0 to 1; grey where masked."""
    from matplotlib import colormaps

    # Grey: where the method does not look.
    cmap = colormaps[_CMAP].with_extremes(bad='0.5')
    return cmap(np.clip(shares, 0, 1))[..., :3]


def _stretch(
    picture: np.ndarray,
    size: Tuple[int, int],
    part: Tuple[float, float] = (1., 1.)) -> np.ndarray:
    """A picture, or its upper left part, in another size; cells stay sharp.

    Args:
        picture (np.ndarray): (H, W, ...).
        size (tuple[int, int]): Height and width in pixels.
        part (tuple[float, float]): Share of height and width to show.
            Defaults to all.
    """
    rows, columns = (((np.arange(new) + 0.5) / new * share * old).astype(int)
                     for new, share, old in zip(size, part, picture.shape))
    return picture[rows[:, None], columns]


def _paint_panel(panel: Panel, shown: Union[np.ndarray, Boxes],
                 scene: Scene) -> None:
    """Paint the image, truth or predictions."""
    if isinstance(shown, Boxes):
        panel.show(_stretch(scene.image, panel.size) / 255)
        _paint_boxes(panel.axes(), shown, scene)
        return
    if shown.ndim == 3:
        panel.show(_stretch(shown, panel.size) / 255)
        return
    labels = np.unique(shown)
    colors = np.array([scene.color(int(label)) for label in labels])
    shown = _stretch(shown, panel.size)
    panel.show(colors[np.searchsorted(labels, shown)])


def _paint_boxes(axes: Any, objects: Boxes, scene: Scene) -> None:
    from matplotlib.patches import Rectangle
    height, width = scene.image.shape[:2]
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    boxes, labels, scores = objects
    order = range(len(boxes)) if scores is None else np.argsort(-scores)
    for i in list(order)[:_MOST_BOXES]:
        x1, y1, x2, y2 = boxes[i]
        label = int(labels[i])
        color = scene.color(label)
        axes.add_patch(
            Rectangle((x1, y1),
                      x2 - x1,
                      y2 - y1,
                      fill=False,
                      edgecolor=color,
                      linewidth=1.2))
        text = scene.classes[label] if label < len(
            scene.classes) else str(label)
        if scores is not None:
            text += f' {scores[i]:.2f}'
        axes.text(
            x1,
            y1,
            text,
            fontsize=5,
            color='white',
            verticalalignment='bottom',
            clip_on=True,
            bbox=dict(facecolor=color, edgecolor='none', pad=0.4, alpha=0.8))


def _norms(visuals: Sequence[Visual],
           values: Sequence[Sequence[np.ndarray]]) -> List[Any]:
    """What turns the values of each visual into colours.

    Args:
        visuals (Sequence[Visual]): What is painted.
        values (Sequence[Sequence[np.ndarray]]): All that is painted of each.
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
    """Height of a panel over its width."""
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
    """One sheet of an image: truth and predictions, then the visuals.

    Args:
        visuals (Sequence[Visual]): Of a batch of one image. Each group
            begins a row.
        scene (Scene): The image.
        title (str): Of the sheet. Defaults to ''.
        columns (int): Most panels in a row. Defaults to 7.
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
        _paint_panel(panel, shown, scene)
    for row, places in enumerate(rows, start=bool(header)):
        for column, i in enumerate(places):
            visual, panel = visuals[i], sheet.panel(row, column)
            panel.title(visual.name)
            if not column:
                size = 'x'.join(map(str, arrays[i].shape))
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
    """Values of changing visuals at some iterations of a training.

    Args:
        most (int): How many iterations to keep, the first and the last among
            them; those between are thinned out evenly. Defaults to 6.
    """

    def __init__(self, most: int = 6) -> None:
        self.most = max(most, 2)
        self.frames: Dict[int, Dict[str, np.ndarray]] = {}

    def add(self, step: int, visuals: Sequence[Visual]) -> None:
        """Keep what changes, as it is at an iteration."""
        self.frames[step] = {
            _key(visual): array_of(visual)
            for visual in visuals if visual.changes
        }
        steps = sorted(self.frames)
        while len(steps) > self.most:
            gaps = [after - before for before, after in zip(steps, steps[2:])]
            self.frames.pop(steps.pop(1 + gaps.index(min(gaps))))

    def save(self, path: str) -> None:
        """Write it to a file, for a run that goes on later."""
        np.savez_compressed(
            path, **{
                f'{step}|{key}': array
                for step, frame in self.frames.items()
                for key, array in frame.items()
            })

    def load(self, path: str, until: int) -> None:
        """Take up what was kept up to an iteration."""
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                step, key = name.split('|', 1)
                if int(step) <= until:
                    self.frames.setdefault(int(step), {})[key] = file[name]


def draw_history(history: History,
                 visuals: Sequence[Visual],
                 scene: Scene,
                 title: str = '') -> Dict[str, Sheet]:
    """Strips of pictures over the iterations, one sheet for each group.

    All pictures of a row, and rows of one scale, share their colours.

    Args:
        history (History): What was kept.
        visuals (Sequence[Visual]): The same visuals as they are now.
        scene (Scene): The image.
        title (str): Of the sheets. Defaults to ''.

    Returns:
        dict[str, Sheet]: By group; empty where there are fewer than two
        iterations, or nothing changes.
    """
    steps = sorted(history.frames)
    sheets: Dict[str, Sheet] = {}
    for group, places in _groups(visuals).items():
        # One that is new since a restart has no past.
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
                # What the common colours may not show.
                finite = array[np.isfinite(array)]
                if finite.size:
                    panel.note(f'{finite.min():.3g} to {finite.max():.3g}')
            if explained:
                panel.color_bar(norms[row])
        sheets[group] = sheet
    return sheets


def pixels(png: bytes) -> np.ndarray:
    """The pixels of a PNG, (H, W, 3) in RGB, uint8."""
    from PIL import Image
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert('RGB'))
