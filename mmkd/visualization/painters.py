"""Painting visuals, images, label maps and boxes into panels."""
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from mmkd.core.visuals import Colours, Heatmap, Points, Visual
from mmkd.visualization.sheet import Panel, colors_of, stretch

_MOST_BOXES = 40


class Boxes(NamedTuple):
    """Objects of an image.

    Attributes:
        boxes (np.ndarray): (n, 4), ``(x1, y1, x2, y2)`` in pixels of the
            prepared image.
        labels (np.ndarray): Class of each, (n, ).
        scores (np.ndarray | None): Scores of predictions, (n, ).
    """
    boxes: np.ndarray
    labels: np.ndarray
    scores: Optional[np.ndarray] = None


@dataclass
class Scene:
    """An image with its ground truth and predictions.

    Attributes:
        name (str): Name of the image.
        image (np.ndarray, optional): The student's input without padding,
            (H, W, 3) in RGB, uint8. None for other kinds of input.
        size (tuple[int, int], optional): Height and width in pixels of the
            prepared image, padding included.
        panels (dict[str, np.ndarray | Boxes]): Ground truth and predictions
            by title: label maps (H, W) of classes, or objects.
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
        """Colour of a class, 0 to 1; black for labels outside the classes."""
        from matplotlib import colormaps
        if self.classes and not 0 <= label < len(self.classes):
            return (0., 0., 0.)
        if 0 <= label < len(self.palette):
            return tuple(c / 255 for c in self.palette[label])
        return colormaps['tab20'](label % 20)[:3]


@singledispatch
def paint(visual: Visual, panel: Panel, values: np.ndarray, scene: Scene,
          norm: Any) -> bool:
    """Paint a visual of one image.

    Another kind of visual registers its own function::

        @paint.register
        def paint_boxes(visual: Boxes3D, panel, values, scene, norm): ...

    Args:
        visual (Visual): The visual; its type selects the function.
        panel (Panel): The panel to paint into.
        values (np.ndarray): Its values for this image.
        scene (Scene): The image under the values.
        norm (matplotlib.colors.Normalize): Maps values to 0 to 1.

    Returns:
        bool: Whether the panel needs a colour bar.
    """
    raise TypeError(f'no painter is registered for {type(visual)}')


@paint.register
def paint_heatmap(visual: Heatmap, panel: Panel, values: np.ndarray,
                  scene: Scene, norm: Any) -> bool:
    """Paint a map over the image, or on its own in metres."""
    over = scene.image is not None and visual.extent is None
    if over:
        height, width = scene.image.shape[:2]
        image = stretch(scene.image, panel.size) / 255
        # The map also covers the padding.
        padded = scene.size or (height, width)
        values = stretch(values, panel.size,
                         (height / padded[0], width / padded[1]))
    else:
        image = np.ones((*panel.size, 3))
        if visual.extent is not None:
            values = values[::-1]  # y points up
        values = stretch(values, panel.size)
    if visual.color is not None:
        from matplotlib.colors import to_rgb
        opacity = 0.8 * np.nan_to_num(values).clip(0, 1)[..., None]
        background = 0.6 * image + 0.1 if over else image
        panel.show(opacity * to_rgb(visual.color) + (1 - opacity) * background)
        return False
    shares = np.ma.masked_invalid(norm(np.ma.masked_invalid(values)))
    colors = colors_of(shares)
    if over:
        grey = 0.15 + 0.7 * image.mean(axis=2, keepdims=True)
        # Low values are more transparent.
        opacity = 0.4 + 0.5 * shares.filled(0.5).clip(0, 1)[..., None]
        colors = opacity * colors + (1 - opacity) * grey
    panel.show(colors)
    return True


@paint.register
def paint_colours(visual: Colours, panel: Panel, values: np.ndarray,
                  scene: Scene, norm: Any) -> bool:
    """Paint the colours of a map, without its padding."""
    part = (1., 1.)
    if scene.image is not None:
        height, width = scene.image.shape[:2]
        padded = scene.size or (height, width)
        part = (height / padded[0], width / padded[1])
    panel.show(stretch(values, panel.size, part))
    return False


@paint.register
def paint_points(visual: Points, panel: Panel, values: np.ndarray,
                 scene: Scene, norm: Any) -> bool:
    """Paint points over a cloud, with lines between some of them.

    Only the first scan is painted, since figures show a single sample.
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
    colors = colors_of(norm(np.where(shown, values, 0)))
    if edges is not None and len(edges):
        from matplotlib.collections import LineCollection
        edges = edges.astype(int)
        axes.add_collection(
            LineCollection(
                places[edges], colors=colors[edges[:, 0]], linewidths=0.6))
    # Higher values are drawn on top.
    order = np.argsort(np.where(shown, values, -np.inf))[(~shown).sum():]
    axes.scatter(*places[order].T, s=5, c=colors[order], linewidths=0)
    return True


def paint_panel(panel: Panel, shown: Union[np.ndarray, Boxes],
                scene: Scene) -> None:
    """Paint the image, ground truth or predictions."""
    if isinstance(shown, Boxes):
        panel.show(stretch(scene.image, panel.size) / 255)
        _paint_boxes(panel.axes(), shown, scene)
        return
    if shown.ndim == 3:
        panel.show(stretch(shown, panel.size) / 255)
        return
    labels = np.unique(shown)
    colors = np.array([scene.color(int(label)) for label in labels])
    shown = stretch(shown, panel.size)
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
