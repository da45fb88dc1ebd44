"""Predictions of several segmentors side by side, and learning curves."""
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch

from mmkd.core.network import build_network
from mmkd.utils.checkpoint import load_weights, read_checkpoint


def predict(config: str, checkpoint: str,
            images: Sequence[str]) -> List[np.ndarray]:
    """Predict label maps for image files.

    Args:
        config (str): Distillation or plain config.
        checkpoint (str): Checkpoint of the run.
        images (Sequence[str]): Paths of images.

    Returns:
        list[np.ndarray]: (H, W) maps of train ids, one per image.
    """
    import mmcv
    network = build_network(config, 'the student').eval()
    load_weights(network, read_checkpoint(checkpoint), 'the student')
    maps = []
    for path in images:
        image = mmcv.imread(path)
        tensor = torch.from_numpy(
            np.ascontiguousarray(image.transpose(2, 0, 1)))
        with torch.no_grad():
            result = network.test_step(dict(inputs=[tensor]))[0]
        maps.append(result.pred_sem_seg.data[0].numpy())
    return maps


def _colours(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    full = np.zeros((256, 3), np.uint8)
    full[:len(palette)] = palette
    return full[labels.astype(np.uint8)]


def draw_comparison(images: Sequence[str], truths: Sequence[str],
                    predictions: Dict[str, Sequence[np.ndarray]],
                    curves: Dict[str,
                                 Tuple[Sequence[int],
                                       Sequence[float]]], path: str) -> None:
    """Draw a row of image, ground truth and predictions each; curves below.

    Args:
        images (Sequence[str]): Paths of images.
        truths (Sequence[str]): Paths of their label maps (train ids).
        predictions (dict[str, Sequence[np.ndarray]]): Label maps by name.
        curves (dict[str, tuple]): Iterations and task losses by name.
        path (str): The PNG to write.
    """
    import mmcv
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from mmseg.utils import cityscapes_palette
    palette = np.array(cityscapes_palette(), np.uint8)
    columns = 2 + len(predictions)
    figure = Figure(figsize=(3.2 * columns, 1.75 * len(images) + 3.2))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(images) + 1,
        columns,
        height_ratios=[1] * len(images) + [1.7],
        hspace=0.12,
        wspace=0.04)
    for row, (image, truth) in enumerate(zip(images, truths)):
        labels = mmcv.imread(truth, flag='unchanged', backend='pillow')
        cells = [('image', mmcv.imread(image, channel_order='rgb')),
                 ('truth', _colours(labels, palette))]
        for name, maps in predictions.items():
            shown = np.where(labels == 255, 255, maps[row])
            cells.append((name, _colours(shown, palette)))
        for column, (title, picture) in enumerate(cells):
            axes = figure.add_subplot(grid[row, column])
            axes.imshow(picture, interpolation='nearest')
            axes.set_axis_off()
            if row == 0:
                axes.set_title(title, fontsize=10)
    draw_curves(figure.add_subplot(grid[len(images), :]), curves)
    figure.savefig(path, dpi=110, bbox_inches='tight')


def draw_curves(
        axes, curves: Dict[str, Tuple[Sequence[int],
                                      Sequence[float]]]) -> None:
    """Draw task losses, smoothed over up to five logged values.

    Args:
        axes (matplotlib.axes.Axes): The axes.
        curves (dict[str, tuple]): Iterations and task losses by name.
    """
    for name, (iters, losses) in curves.items():
        if not len(losses):
            continue
        width = max(1, min(5, len(losses) // 3))
        smooth = np.convolve(losses, np.ones(width) / width, mode='valid')
        axes.plot(list(iters)[width - 1:], smooth, label=name, linewidth=1.5)
    axes.set_xlabel('iteration')
    axes.set_ylabel('task loss (training)')
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
