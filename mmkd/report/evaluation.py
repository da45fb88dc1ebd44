"""Testing a network for a report: metrics, classes, sizes and images."""
import io
import logging
import os.path as osp
import tempfile
import time
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner
from torch.utils.flop_counter import FlopCounterMode

from mmkd.apis import build_tester
from mmkd.errors import ConfigError
from mmkd.report import birds_eye

#: COCO's limits of small and medium areas, in pixels.
_SIZES = {'small': (0, 32**2), 'medium': (32**2, 96**2), 'large': (96**2, 0)}
#: Boxes below this score count neither in pictures nor in their choice.
SCORE_THR = 0.3


@dataclass
class Cost:
    """What a network costs to run.

    Attributes:
        parameters (int): Number of weights.
        flops (int | None): Multiply-adds for a sample of the test; of
            inputs that are no images, those of dense layers. None if they
            cannot be counted, as with sparse convolutions.
        latency (float): Median seconds for one image, from the prepared
            sample to the result.
        input_size (tuple[int, ...] | None): Shape of the input.
    """
    parameters: int
    flops: Optional[int]
    latency: float
    input_size: Optional[Sequence[int]]


@dataclass
class Evaluation:
    """What a network reaches on the data of its test.

    Attributes:
        metrics (dict[str, float]): The metrics of the evaluators.
        per_class (dict[str, float]): IoU or AP of each class, in points of
            100.
        per_size (dict[str, float]): AP, or the share of correct pixels, of
            small, medium and large objects, in points of 100.
        images (dict[int, float]): A score, 0 to 1, of each image by its
            index.
        cost (Cost): What the network costs.
        runner (Runner | None): Holds the network, for pictures.
    """
    metrics: Dict[str, float]
    per_class: Dict[str, float]
    per_size: Dict[str, float]
    images: Dict[int, float]
    cost: Cost
    runner: Optional[Runner] = field(default=None, repr=False)


class _Details(BaseMetric):
    """Collects what the libraries' metrics do not return."""
    default_prefix = 'report'

    def __init__(self) -> None:
        super().__init__()
        self.index = 0
        self.images: Dict[int, float] = {}
        self.per_class: Dict[str, float] = {}
        self.per_size: Dict[str, float] = {}

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Collect from a batch."""
        classes = self.dataset_meta.get('classes') or ()
        for sample in data_samples:
            if 'gt_sem_seg' in sample and 'pred_sem_seg' in sample:
                found = _segmentation(sample, len(classes))
                self.results.append(found)
                self.images[self.index] = found['score']
            elif _has_boxes(sample):
                self.images[self.index] = _score_of_boxes(sample)
            elif birds_eye.has_objects(sample):
                truth = birds_eye.true_objects(sample)
                found = birds_eye.found_objects(sample, SCORE_THR)
                self.images[self.index] = _f1(
                    birds_eye.overlaps(truth, found), truth.labels,
                    found.labels)
            self.index += 1

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Sum up; adds nothing to the metrics of the run."""
        if results:
            inter, union, right, area = (
                np.sum([part[key] for part in results], axis=0)
                for key in ('inter', 'union', 'right', 'area'))
            names = self.dataset_meta['classes']
            self.per_class = {
                names[i]: 100 * float(inter[i] / union[i])
                for i in np.flatnonzero(union)
            }
            self.per_size = {
                size: 100 * float(right[i] / area[i])
                for i, size in enumerate(_SIZES) if area[i]
            }
        return {}

    def evaluate(self, size: int) -> Dict[str, float]:
        """As :meth:`compute_metrics`; this process has all images."""
        return self.compute_metrics(self.results)


def _segmentation(sample: dict, num_classes: int) -> Dict[str, Any]:
    """Intersections and unions of classes, and pixels by size of region."""
    import cv2
    truth, found = (
        sample[key]['data'].squeeze().cpu().numpy().astype(np.int64)
        for key in ('gt_sem_seg', 'pred_sem_seg'))
    known = truth < num_classes  # the others are ignored

    def count(labels: np.ndarray) -> np.ndarray:
        return np.bincount(labels, minlength=num_classes)[:num_classes]

    hits = known & (truth == found)
    inter = count(truth[hits])
    true = count(truth[known])
    union = true + count(found[known]) - inter
    right, area = np.zeros(len(_SIZES)), np.zeros(len(_SIZES))
    for label in np.flatnonzero(true):
        _, regions, stats, _ = cv2.connectedComponentsWithStats(
            (truth == label).astype(np.uint8))
        areas = stats[1:, cv2.CC_STAT_AREA]
        correct = np.bincount(regions[hits], minlength=len(stats))[1:]
        for i, (low, high) in enumerate(_SIZES.values()):
            chosen = (areas >= low) & (areas < (high or np.inf))
            right[i] += correct[chosen].sum()
            area[i] += areas[chosen].sum()
    present = true > 0
    score = float((inter[present] / union[present]).mean()) \
        if present.any() else 0.0
    return dict(inter=inter, union=union, right=right, area=area, score=score)


def _has_boxes(sample: dict) -> bool:
    return all('bboxes' in sample.get(key, {})
               and sample[key]['bboxes'].shape[-1:] == (4, )
               for key in ('gt_instances', 'pred_instances'))


def _score_of_boxes(sample: dict) -> float:
    from torchvision.ops import box_iou
    truth, found = sample['gt_instances'], sample['pred_instances']
    keep = found['scores'] >= SCORE_THR
    boxes = getattr(truth['bboxes'], 'tensor', truth['bboxes'])
    iou = box_iou(boxes.float().cpu(), found['bboxes'][keep].float().cpu())
    return _f1(iou, truth['labels'].cpu(), found['labels'][keep].cpu())


def _f1(iou: torch.Tensor, truth: torch.Tensor, found: torch.Tensor) -> float:
    """F1 score of objects at an IoU of 0.5, classes matched.

    Args:
        iou (Tensor): (n, m), of true and predicted objects.
        truth, found (Tensor): (n, ) and (m, ), their classes.
    """
    iou = torch.where(truth[:, None] == found, iou, torch.zeros(()))
    total = sum(iou.shape)
    if total == 0:
        return 1.0
    hits = 0
    while iou.numel() and float(iou.max()) >= 0.5:
        row, column = divmod(int(iou.argmax()), iou.shape[1])
        iou[row], iou[:, column] = 0, 0
        hits += 1
    return 2 * hits / total


def check_split(cfg: Config, split: str) -> None:
    """Refuse a config that cannot be tested on a split.

    Raises:
        ConfigError: If it lacks the data or the metrics.
    """
    for part in ('dataloader', 'evaluator'):
        if not cfg.get(f'{split}_{part}'):
            raise ConfigError(f'the config has no `{split}_{part}`; choose '
                              'the other --split, or --no-evaluate')


def evaluate(cfg: Config, ckpt: str, split: str = 'test') -> Evaluation:
    """Test a network, and measure what it costs to run.

    Nothing is written into the folder of the run.

    Args:
        cfg (Config): A distillation config, of which the student is tested,
            or a plain config; not changed.
        ckpt (str): The checkpoint.
        split (str): ``'val'`` or ``'test'``. Defaults to ``'test'``.

    Raises:
        CheckpointError: If the checkpoint cannot be read or does not fit.
        ConfigError: If the config has no data or metrics for the split.
    """
    check_split(cfg, split)
    cfg = Config(cfg.to_dict())
    for part in ('dataloader', 'evaluator'):
        cfg[f'test_{part}'] = cfg[f'{split}_{part}']
    if not cfg.get('test_cfg'):
        cfg.test_cfg = dict(type='TestLoop')
    cfg.test_dataloader.pop('batch_sampler', None)
    cfg.test_dataloader.sampler = dict(type='DefaultSampler', shuffle=False)
    evaluators = cfg.test_evaluator
    for metric in [evaluators] if isinstance(evaluators, dict) else evaluators:
        if metric.get('type') == 'CocoMetric':
            metric['classwise'] = True
    cfg.launcher, cfg.log_level = 'none', 'ERROR'
    cfg.visualizer = None
    with tempfile.TemporaryDirectory() as folder, _silence():
        # mmengine shares loggers and visualizers between runs of one name.
        cfg.work_dir, cfg.experiment_name = folder, osp.basename(folder)
        runner = build_tester(cfg, ckpt)
        details = _Details()
        loop = runner.test_loop
        details.dataset_meta = loop.dataloader.dataset.metainfo
        loop.evaluator.metrics.append(details)
        metrics = {
            key: float(value)
            for key, value in runner.test().items()
        } or _nothing_found(loop.evaluator.metrics)
        cost = _cost(runner)
    classes = details.dataset_meta.get('classes') or ()
    return Evaluation(metrics, details.per_class
                      or _classwise(metrics, classes), details.per_size
                      or _sizewise(metrics), details.images, cost,
                      runner if details.images else None)


def _nothing_found(metrics: Sequence[Any]) -> Dict[str, float]:
    """AP of a network that detects nothing, for which CocoMetric, unlike
    pycocotools, returns no values."""
    return {
        f'{metric.prefix}/{kind}_{name}': 0.0
        for metric in metrics if type(metric).__name__ == 'CocoMetric'
        for kind in metric.metrics if kind in ('bbox', 'segm')
        for name in ('mAP', 'mAP_50', 'mAP_75')
    }


@contextmanager
def _silence() -> Iterator[None]:
    """Drop what the libraries print; errors are raised as usual."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def _classwise(metrics: Dict[str, float],
               classes: Sequence[str]) -> Dict[str, float]:
    """AP of classes, from the names of CocoMetric and KittiMetric."""
    found = {}
    for name in classes:
        for key, value in metrics.items():
            if key.endswith(f'/{name}_precision'):
                found[name] = 100 * value
            elif key.endswith(f'/{name}_3D_AP40_moderate_strict'):
                found[name] = value
    return found


def _sizewise(metrics: Dict[str, float]) -> Dict[str, float]:
    """AP by size, from the names of CocoMetric; -1 means no such object."""
    found = {}
    for size in _SIZES:
        value = metrics.get(f'coco/bbox_mAP_{size[0]}', -1.0)
        if value >= 0:
            found[size] = 100 * value
    return found


@torch.no_grad()
def _cost(runner: Runner) -> Cost:
    model = runner.model.eval()
    data = pseudo_collate([runner.test_loop.dataloader.dataset[0]])
    parameters = sum(weight.numel() for weight in model.parameters())
    times: List[float] = []
    began = time.perf_counter()
    while len(times) < 7 or (len(times) < 50
                             and time.perf_counter() - began < 2):
        start = time.perf_counter()
        model.test_step(data)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    flops, size = _flops(model, data)
    # The first steps allocate memory.
    return Cost(parameters, flops, float(np.median(times[2:])), size)


@torch.no_grad()
def _flops(model: torch.nn.Module,
           data: dict) -> Tuple[Optional[int], Optional[Sequence[int]]]:
    """Multiply-adds for a sample, and the shape of its image; see
    :class:`Cost`."""
    batch = model.data_preprocessor(data, False)
    inputs = batch['inputs']
    images = isinstance(inputs, torch.Tensor)
    size = tuple(inputs.shape[1:]) if images else None
    if not images and any(base.__name__ == 'SparseConvolution'
                          for module in model.modules()
                          for base in type(module).__mro__):
        return None, None
    try:
        if images:
            from mmengine.analysis import get_model_complexity_info
            found = get_model_complexity_info(
                _TensorMode(model, batch.get('data_samples')),
                inputs=inputs,
                show_table=False,
                show_arch=False)
            return int(found['flops']), size
        with FlopCounterMode(display=False) as counter:
            model.test_step(data)
    except Exception:  # of tracing; the rest of the report needs no flops
        return None, size
    # It counts a multiply-add as two operations.
    return counter.get_total_flops() // 2, None


class _TensorMode(torch.nn.Module):
    """A network in ``tensor`` mode as a function of its images alone; two
    stages also read the data samples."""

    def __init__(self, model: torch.nn.Module, samples: Any) -> None:
        super().__init__()
        self.model, self.samples = model, samples

    def forward(self, inputs: torch.Tensor) -> Any:
        """Run the network."""
        return self.model(inputs, self.samples)


def predict(evaluation: Evaluation, index: int) -> Tuple[dict, Any]:
    """A sample of the test.

    Returns:
        tuple[dict, BaseDataElement]: Its inputs, and its data sample with the
        ground truth and predictions.
    """
    data = evaluation.runner.test_loop.dataloader.dataset[index]
    with torch.no_grad(), _silence():
        sample, = evaluation.runner.model.test_step(pseudo_collate([data]))
    inputs = data['inputs']
    return inputs if isinstance(inputs, dict) else {}, sample.cpu()
