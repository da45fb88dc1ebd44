"""Pictures of what the distillers look at, while a run trains."""
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
from mmkd.visualization.distillation import pixels
from mmkd.visualization.observation import Gallery, Images, Observer


@HOOKS.register_module()
class DistillationVisualizationHook(Hook):
    """Draw what each distiller looks at in some images, every so often.

    Before training, every ``interval`` iterations and at the last one, each
    method says what it looks at (:meth:`mmkd.core.Distiller.visuals`):
    masks, attention, distances of student and teacher. The pictures lie in
    the run's work folder, ``pictures/<distiller>/<image>/``:
    ``iter_<iteration>.png``, with truth and predictions, and
    ``strip_<group>.png``, which shows how the changing ones change. The
    visualizer's backends, such as TensorBoard, get them as well, but for the
    one that writes files.

    The main process alone draws, on a copy of the model with the weights in
    training (not their moving average). Training is bit for bit that without
    the hook; an iteration at which nothing is drawn costs nothing.

    Args:
        interval (int): Iterations between two pictures. Defaults to 500.
        images (int | list[int | str]): How many, evenly over the data set;
            or which, by number or by the end of their path. Files that are
            not in the data set have no truth, and are left out by methods
            that need one. Defaults to 2.
        split (str): ``'val'`` or ``'train'``: whose data loader has the
            images. Those of training are shown as they are augmented, each
            time in the same way. Defaults to ``'val'``.
        predictions (bool): Whether to show predictions too, one more forward
            of each network. Defaults to True.
        score_thr (float): Lowest score of a predicted box. Defaults to 0.3.
        strip_length (int): Iterations in a strip, the first and the last
            among them. Defaults to 6.
        out_dir (str, optional): Folder for the pictures. Defaults to None:
            ``pictures`` in the work folder.

    Raises:
        ConfigError: If an argument makes no sense; when the run starts, if
            there is no such data loader or image.
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
        """Find the images, and draw them as the networks are."""
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
        print_log(f'pictures of what is distilled: {folder}', 'current')

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        """Draw, when it is time."""
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
