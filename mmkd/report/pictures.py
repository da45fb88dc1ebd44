"""Images with truth and predictions, as small JPEGs for a page."""
import base64
import io
import os.path as osp
from typing import Any, Dict, List, NamedTuple

import numpy as np

from mmkd.report import birds_eye
from mmkd.report.evaluation import SCORE_THR, Evaluation, predict
from mmkd.visualization import Scene

#: Width of an embedded picture in pixels, and the quality of its JPEG.
_WIDTH, _QUALITY = 420, 80
_MOST_BOXES = 60


class Row(NamedTuple):
    """An image of the test and what the networks see in it.

    Attributes:
        name (str): Name of the file.
        scores (dict[str, float]): Score of each network, 0 to 1.
        panels (dict[str, str]): ``data:`` address of each picture by title.
    """
    name: str
    scores: Dict[str, float]
    panels: Dict[str, str]


def choose(base: Evaluation, other: Evaluation, count: int) -> List[int]:
    """Indices of the images whose scores differ most.

    Gains and losses are both shown: at least one image in four, if there are
    any, is one on which the other network is worse.
    """
    change = {
        index: other.images[index] - score
        for index, score in base.images.items() if index in other.images
    }
    order = sorted(change, key=lambda index: (-change[index], index))
    worse = [index for index in reversed(order) if change[index] < 0]
    worse = worse[:-(-count // 4)]
    better = [index for index in order if index not in worse]
    return [*better[:count - len(worse)], *worse]


def rows(networks: Dict[str, Evaluation], count: int) -> List[Row]:
    """Draw the images whose scores differ most between two networks.

    Args:
        networks (dict[str, Evaluation]): By title: the two networks, and then
            any others to show, such as the teacher.
        count (int): Number of images.
    """
    base, other = list(networks.values())[:2]
    if base.runner is None or other.runner is None:
        return []
    return [_row(index, networks) for index in choose(base, other, count)]


def _row(index: int, networks: Dict[str, Evaluation]) -> Row:
    panels: Dict[str, str] = {}
    scores, name = {}, str(index)
    for title, network in networks.items():
        if network.runner is None or index not in network.images:
            continue
        inputs, sample = predict(network, index)
        scene = _scene(network)
        shown = _pictures(inputs, sample, scene)
        found = shown.pop('found')
        if not panels:
            meta = sample.metainfo
            name = osp.basename(
                str(meta.get('lidar_path') or meta.get('img_path') or index))
            panels = {key: _jpeg(picture) for key, picture in shown.items()}
        panels[title] = _jpeg(found)
        scores[title] = network.images[index]
    return Row(name, scores, panels)


def _scene(network: Evaluation) -> Scene:
    """Names and colours of the classes."""
    meta = network.runner.test_loop.dataloader.dataset.metainfo
    return Scene(
        '',
        classes=list(meta.get('classes') or ()),
        palette=list(meta.get('palette') or ()))


def _pictures(inputs: dict, sample: Any,
              scene: Scene) -> Dict[str, np.ndarray]:
    """The ``truth`` of a sample and what was ``found``, in the ``image``
    as its file holds it, or from above."""
    if birds_eye.has_objects(sample):
        points = inputs.get('points')
        return dict(
            truth=birds_eye.draw(points, birds_eye.true_objects(sample),
                                 scene),
            found=birds_eye.draw(points,
                                 birds_eye.found_objects(sample, SCORE_THR),
                                 scene))
    import mmcv
    image = mmcv.imread(sample.metainfo['img_path'], channel_order='rgb')
    return dict(
        image=image,
        truth=_paint(image, sample, 'gt', scene),
        found=_paint(image, sample, 'pred', scene))


def _paint(image: np.ndarray, sample: Any, kind: str,
           scene: Scene) -> np.ndarray:
    if f'{kind}_sem_seg' in sample:
        truth = sample.gt_sem_seg.data.squeeze().numpy()
        labels = sample.get(f'{kind}_sem_seg').data.squeeze().numpy()
        known = np.unique(labels)
        colors = np.array([scene.color(int(label)) for label in known])
        painted = colors[np.searchsorted(known, labels)]
        painted[truth >= len(scene.classes)] = 0  # ignored
        return (255 * painted).round().astype(np.uint8)
    return _boxes(image, sample.get(f'{kind}_instances'), scene)


def _boxes(image: np.ndarray, objects: Any, scene: Scene) -> np.ndarray:
    from PIL import Image, ImageDraw
    if 'scores' in objects:
        objects = objects[objects.scores >= SCORE_THR]
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    width = max(1, round(1.5 * image.shape[1] / _WIDTH))
    boxes = getattr(objects.bboxes, 'tensor', objects.bboxes)
    for box, label in list(zip(boxes.tolist(),
                               objects.labels.tolist()))[:_MOST_BOXES]:
        color = tuple(round(255 * c) for c in scene.color(label))
        draw.rectangle(box, outline=color, width=width)
    return np.asarray(picture)


def _jpeg(picture: np.ndarray) -> str:
    from PIL import Image
    image = Image.fromarray(picture)
    if image.width > _WIDTH:
        image = image.resize(
            (_WIDTH, round(image.height * _WIDTH / image.width)))
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=_QUALITY, optimize=True)
    text = base64.b64encode(buffer.getvalue()).decode()
    return f'data:image/jpeg;base64,{text}'
