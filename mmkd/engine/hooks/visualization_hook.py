"""Drawing the visuals of distillers during training."""
import os.path as osp
from typing import Optional

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.visualization import LocalVisBackend

from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.registry import HOOKS
from mmkd.utils.rng import preserve_rng
from mmkd.visualization.observation import Gallery, Images, Observer
from mmkd.visualization.sheet import pixels


@HOOKS.register_module()
class DistillationVisualizationHook(Hook):
    """Draw the visuals of each distiller for some images at regular intervals.

    Before training, every ``interval`` iterations and at the last one, the
    hook draws what each method reports in
    :meth:`mmkd.core.Distiller.visuals`: masks, attention, distances between
    student and teacher. The figures are written to
    ``pictures/<distiller>/<image>/`` in the work folder:
    ``iter_<iteration>.png``, with ground truth and predictions, and
    ``strip_<group>.png``, which shows how values change over the training.
    The visualizer's other backends, such as TensorBoard, get them as well.

    Only the main process draws, on a copy of the model with the current
    weights (not their moving average). Training is bit for bit the same as
    without the hook, and iterations without figures have no extra cost.

    Args:
        interval (int): Iterations between two figures. Defaults to 500.
        images (int | list[int | str]): Number of images, spread evenly over
            the data set; or indices or ends of paths. Files that are not in
            the data set have no ground truth, and methods that need it skip
            them. Defaults to 2.
        split (str): Data loader that provides the images, ``'val'`` or
            ``'train'``. Training images are augmented, each time in the same
            way. Defaults to ``'val'``.
        predictions (bool): Whether to show predictions as well, which takes
            another forward pass of each network. Defaults to True.
        score_thr (float): Minimum score of predicted boxes. Defaults to 0.3.
        strip_length (int): Number of iterations in a strip, including the
            first and the last. Defaults to 6.
        out_dir (str, optional): Folder for the pictures. Defaults to None:
            ``pictures`` in the work folder.

    Raises:
        ConfigError: If an argument is invalid; when the run starts, if there
            is no such data loader or image.
    """
    # After hooks that change the weights before training.
    priority = 'VERY_LOW'

    def __init__(self,
                 interval: int = 500,
                 images: Images = 2,
                 split: str = 'val',
                 predictions: bool = True,
                 score_thr: float = 0.3,
                 strip_length: int = 6,
                 out_dir: Optional[str] = None) -> None:
        if split not in ('train', 'val'):
            raise ConfigError("DistillationVisualizationHook: split is 'val' "
                              f"or 'train', not {split!r}")
        for name, value, least in (('interval', interval, 1),
                                   ('strip_length', strip_length, 2)):
            if not isinstance(value, int) or value < least:
                raise ConfigError(
                    f'DistillationVisualizationHook: {name} is a number of '
                    f'iterations, {least} or more, but got {value!r}')
        self.interval = interval
        self.images = images
        self.split = split
        self.predictions = predictions
        self.score_thr = score_thr
        self.strip_length = strip_length
        self.out_dir = out_dir
        self._observer: Optional[Observer] = None
        self._gallery: Optional[Gallery] = None

    @master_only
    def before_train(self, runner) -> None:
        """Find the images and draw them with the initial networks."""
        if not isinstance(_unwrapped(runner.model), DistillationModel):
            return
        loop = runner.train_loop if self.split == 'train' else runner.val_loop
        if loop is None:
            raise ConfigError(
                'DistillationVisualizationHook: there is no '
                f"`{self.split}_dataloader`; split='train' draws images of "
                'training')
        with preserve_rng():
            self._observer = Observer(loop.dataloader.dataset, self.images,
                                      self.predictions, self.score_thr)
        folder = self.out_dir or osp.join(runner.work_dir, 'pictures')
        self._gallery = Gallery(folder, self.strip_length, runner.iter)
        self._draw(runner, runner.iter)
        print_log(f'visualizations of the distillers: {folder}', 'current')

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        """Draw if it is due."""
        if self._observer is not None and (self.every_n_train_iters(
                runner, self.interval) or runner.iter + 1 == runner.max_iters):
            self._draw(runner, runner.iter + 1)

    def _draw(self, runner, step: int) -> None:
        backends = [
            backend for backend in runner.visualizer._vis_backends.values()
            if not isinstance(backend, LocalVisBackend)
        ]
        for observation in self._observer.look(_unwrapped(runner.model)):
            drawn = self._gallery.add(step, observation)
            for name, (_, png) in drawn.items():
                for backend in backends:
                    backend.add_image(name, pixels(png), step)


def _unwrapped(model):
    return model.module if is_model_wrapper(model) else model
