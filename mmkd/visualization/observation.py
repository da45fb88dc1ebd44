"""Computing the visuals of distillers for images, and storing figures."""
import copy
import logging
import os
import os.path as osp
import random
import re
from typing import (Any, Dict, Iterator, List, NamedTuple, Optional, Sequence,
                    Tuple, Union)

import numpy as np
import torch
from mmcv.cnn.bricks import DropPath
from mmengine.dataset import Compose, pseudo_collate
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from mmkd.core.model import DistillationModel
from mmkd.core.visuals import Colours, Visual
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.utils.data import own_pipeline
from mmkd.utils.rng import preserve_rng
from mmkd.utils.suggestions import did_you_mean
from mmkd.visualization.distillation import History, draw_history, draw_visuals
from mmkd.visualization.features import feature_visuals
from mmkd.visualization.painters import Boxes, Scene
from mmkd.visualization.sheet import Sheet

#: Number of images, spread evenly over the data; or indices and paths.
Images = Union[int, Sequence[Union[int, str]]]
#: Layers that draw random numbers or use batch statistics in training.
_RANDOM = (_BatchNorm, _InstanceNorm, _DropoutNd, DropPath)


def frozen_copy(model: DistillationModel) -> DistillationModel:
    """Copy a model for deterministic forward passes in training mode.

    Normalisation layers use their running statistics; dropout and random
    batch augmentation are off. The teachers are shared, since they never
    change.

    Args:
        model (DistillationModel): The model; not changed.
    """
    model = copy.deepcopy(model)
    family_of(model.student).stop_augmenting(model.student)
    _as_in_training(model)
    model.distillers.eval()
    return model


def _as_in_training(model: DistillationModel) -> None:
    model.student.train()
    for module in model.student.modules():
        if isinstance(module, _RANDOM):
            module.eval()


class Observation(NamedTuple):
    """An image with the visuals of all distillers.

    Attributes:
        scene (Scene): The image, its ground truth, and predictions.
        visuals (dict[str, list[Visual]]): Visuals by distiller.
    """
    scene: Scene
    visuals: Dict[str, List[Visual]]


class Observer:
    """Runs a model on images of a data set and collects its visuals.

    Ground truth is loaded before the transforms, regardless of its position
    in the pipeline, so it is transformed together with the image.

    Args:
        dataset (Dataset): The data set.
        images (int | Sequence[int | str]): Number of images, spread evenly
            over the data set; or indices, ends of paths in it, or other
            files, which have no ground truth. Defaults to 2.
        predictions (bool): Whether to compute predictions of student and
            teachers as well, for models of mmseg and mmdet. Defaults to True.
        score_thr (float): Minimum score of predicted boxes. Defaults to 0.3.

    Raises:
        ConfigError: If there is no such image.
    """

    def __init__(self,
                 dataset: Any,
                 images: Images = 2,
                 predictions: bool = True,
                 score_thr: float = 0.3) -> None:
        self.dataset = own_pipeline(dataset)
        _load_first(self.dataset)
        self.images = _choose(self.dataset, images)
        self.predictions = predictions
        self.score_thr = score_thr

    def look(self, model: DistillationModel) -> Iterator[Observation]:
        """Yield an observation of each image with the current model.

        The model does not change. The RNG state of the process is restored
        after the last image.

        Args:
            model (DistillationModel): The model in training.
        """
        with preserve_rng():
            model = frozen_copy(model)
            for image in self.images:
                # Random augmentations and masks are the same each time.
                for seed in (torch.manual_seed, np.random.seed, random.seed):
                    seed(0)
                yield self._look_at(model, image)

    @torch.no_grad()
    def _look_at(self, model: DistillationModel,
                 image: Union[int, str]) -> Observation:
        data = pseudo_collate([self._load(image)])
        raw = data['inputs']
        pixels = raw[0] if isinstance(raw, list) else None
        scene = Scene(self._name(image, data))
        if isinstance(pixels, Tensor) and pixels.dim() == 3 and (pixels.size(0)
                                                                 == 3):
            # mmcv loads BGR.
            scene.image = pixels.flip(0).permute(1, 2, 0).round().clamp(
                0, 255).byte().cpu().numpy()
        meta = getattr(self.dataset, 'metainfo', None) or {}
        scene.classes = list(meta.get('classes') or ())
        scene.palette = list(meta.get('palette') or ())

        batch = model.prepare_batch(data, model.planner.watching().teachers)
        tensors, step = model.observe(batch)
        if scene.image is not None:
            scene.size = step.input_size
            self._add_panels(scene, model, batch)
        visuals = {}
        for name, distiller in model.distillers.items():
            try:
                visuals[name] = distiller.visuals(*tensors[name], step)
                if not any(isinstance(x, Colours) for x in visuals[name]):
                    visuals[name] = [
                        *visuals[name], *feature_visuals(
                            *tensors[name], *model.taps.specs_of(name))
                    ]
            except ConfigError as error:
                print_log(f'{name} cannot be drawn for {scene.name}: {error}',
                          'current', logging.WARNING)
        return Observation(scene, visuals)

    def _load(self, image: Union[int, str]) -> dict:
        if isinstance(image, int):
            data = self.dataset[image]
            if data is None:
                raise ConfigError(f'the data set returns nothing for {image}')
            return data
        transforms = [
            transform for transform in self.dataset.pipeline.transforms
            if 'Annotation' not in type(transform).__name__
        ]
        return Compose(transforms)(dict(img_path=image, img_id=0))

    @staticmethod
    def _name(image: Union[int, str], data: dict) -> str:
        meta = data['data_samples'][0].metainfo
        path = meta.get('img_path') or meta.get('lidar_path')
        if isinstance(path, str) and path:
            return osp.splitext(osp.basename(path))[0]
        return osp.splitext(osp.basename(str(image)))[0]

    def _add_panels(self, scene: Scene, model: DistillationModel,
                    batch: dict) -> None:
        """Add ground truth and predictions if available."""
        sample = batch['data_samples'][0]
        if 'gt_sem_seg' in sample:
            height, width = scene.image.shape[:2]
            scene.panels['truth'] = sample.gt_sem_seg.data[
                0, :height, :width].cpu().numpy()
        elif 'gt_instances' in sample and 'bboxes' in sample.gt_instances:
            scene.panels['truth'] = self._boxes(sample.gt_instances)
        if not self.predictions:
            return
        model.student.eval()
        self._add_prediction(scene, 'student', model.student, batch)
        _as_in_training(model)
        for name, own in batch.get('teacher_batches', {}).items():
            teacher = model.teachers[name]
            if model.data_preprocessor.how(name) == 'own' or (
                    teacher.classes or scene.classes) != scene.classes:
                continue  # different geometry or classes
            with teacher.autocast():
                self._add_prediction(scene, name, teacher.network,
                                     teacher.bring(own))

    def _add_prediction(self, scene: Scene, name: str, network: nn.Module,
                        batch: dict) -> None:
        found = family_of(network).predict_image(network, batch,
                                                 scene.image.shape[:2])
        if found is None:
            return
        if found.labels is not None:
            scene.panels[name] = found.labels.cpu().numpy()
        elif found.instances is not None:
            objects = found.instances
            scene.panels[name] = self._boxes(
                objects[objects.scores >= self.score_thr])

    @staticmethod
    def _boxes(objects: Any) -> Boxes:
        boxes = getattr(objects.bboxes, 'tensor', objects.bboxes)
        scores = objects.get('scores')
        return Boxes(boxes.float().cpu().numpy(),
                     objects.labels.cpu().numpy(),
                     None if scores is None else scores.float().cpu().numpy())


def _load_first(dataset: Any) -> None:
    """Move loading transforms to the front of the pipeline; test pipelines of
    mmdet and mmseg load the ground truth after resizing the image."""
    parts = getattr(dataset, 'datasets',
                    None) or [getattr(dataset, 'dataset', None)]
    for part in parts:
        if part is not None:
            _load_first(part)
    transforms = getattr(
        getattr(dataset, 'pipeline', None), 'transforms', None)
    if isinstance(transforms, list):
        transforms.sort(key=lambda t: not type(t).__name__.startswith('Load'))


def _choose(dataset: Any, images: Images) -> List[Union[int, str]]:
    """Indices of images in the data set, or paths of other files."""
    total = len(dataset)
    if isinstance(images, int):
        count = min(images, total)
        return [i * total // count for i in range(count)]
    paths: Optional[List[str]] = None
    chosen: List[Union[int, str]] = []
    for image in images:
        if isinstance(image, int):
            if not 0 <= image < total:
                raise ConfigError(f'there is no image {image}; the data set '
                                  f'has the numbers 0 to {total - 1}')
            chosen.append(image)
            continue
        if paths is None:
            paths = [_path(dataset, i) for i in range(total)]
        found = [i for i, path in enumerate(paths) if path.endswith(image)]
        if found:
            chosen.append(found[0])
        elif osp.isfile(image) and hasattr(dataset, 'pipeline'):
            chosen.append(image)
        else:
            hint = did_you_mean(
                osp.basename(image), [osp.basename(path) for path in paths])
            raise ConfigError(f'the data set has no image {image!r}, and '
                              f'there is no such file. {hint}')
    return chosen


def _path(dataset: Any, index: int) -> str:
    info = dataset.get_data_info(index)
    return str(info.get('img_path') or info.get('lidar_path') or '')


class Gallery:
    """Writes the figures of a run, and strips of values that change.

    The folder of each distiller and image holds ``iter_<iteration>.png``,
    ``strip_<group>.png``, and ``history.npz``, from which a resumed run
    continues its strips.

    Args:
        folder (str): Folder for the figures.
        strip_length (int): Number of iterations in a strip. Defaults to 6.
        resume_at (int): Iteration at which the run resumes; at 0, the history
            of an earlier run is discarded. Defaults to 0.
    """

    def __init__(self,
                 folder: str,
                 strip_length: int = 6,
                 resume_at: int = 0) -> None:
        self.folder = folder
        self.strip_length = strip_length
        self.resume_at = resume_at
        self.histories: Dict[Tuple[str, str], History] = {}

    def add(self, step: int,
            observation: Observation) -> Dict[str, Tuple[str, bytes]]:
        """Draw an image at an iteration.

        Args:
            step (int): The iteration.
            observation (Observation): The image and its visuals.

        Returns:
            dict[str, tuple[str, bytes]]: File and PNG of each figure by
            name.
        """
        scene = observation.scene
        drawn: Dict[str, Tuple[str, bytes]] = {}
        for distiller, visuals in observation.visuals.items():
            if not visuals:
                continue
            folder = osp.join(self.folder, distiller, _plain(scene.name))
            os.makedirs(folder, exist_ok=True)
            name = f'{distiller}/{_plain(scene.name)}'
            title = f'{distiller}: {scene.name}'
            drawn[name] = self._write(
                osp.join(folder, f'iter_{step:06d}.png'),
                draw_visuals(visuals, scene, f'{title}, iteration {step}'))
            history = self._history(distiller, scene.name, folder)
            history.add(step, visuals)
            history.save(osp.join(folder, 'history.npz'))
            strips = draw_history(history, visuals, scene, title)
            for group, sheet in strips.items():
                file = f'strip_{_plain(group)}' if group else 'strip'
                drawn[f'{name}/{file}'] = self._write(
                    osp.join(folder, f'{file}.png'), sheet)
        return drawn

    def _history(self, distiller: str, image: str, folder: str) -> History:
        key = (distiller, image)
        if key not in self.histories:
            self.histories[key] = History(self.strip_length)
            past = osp.join(folder, 'history.npz')
            if self.resume_at and osp.isfile(past):
                self.histories[key].load(past, self.resume_at)
        return self.histories[key]

    @staticmethod
    def _write(path: str, sheet: Sheet) -> Tuple[str, bytes]:
        png = sheet.render()
        with open(path, 'wb') as file:
            file.write(png)
        return path, png


def _plain(name: str) -> str:
    """A name that is valid for files."""
    return re.sub(r'[^\w.-]+', '_', name)
