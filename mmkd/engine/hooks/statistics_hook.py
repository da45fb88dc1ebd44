"""Statistics of the teachers before training."""
import copy
from typing import Any, Iterator

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmkd.core.model import DistillationModel
from mmkd.core.reading import teacher_tensors
from mmkd.core.step import Tensors
from mmkd.engine.sampling import batch_size, endless_batches
from mmkd.registry import HOOKS
from mmkd.utils.arguments import error_context
from mmkd.utils.rng import preserve_rng

#: Largest number of samples of a batch, which bounds the memory.
_SAMPLES = 16


@HOOKS.register_module()
class StatisticsHook(Hook):
    """Let methods gather statistics of their teachers before training.

    They see augmented training images, and how many there are
    (:meth:`mmkd.core.Distiller.before_training`). The RNG state and the order
    of the data stay the same. A resumed run goes on with the statistics in its
    checkpoint.
    """

    def before_train(self, runner) -> None:
        """Gather the statistics.

        Raises:
            DataError: If a file cannot be loaded.
        """
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        if not isinstance(model, DistillationModel):
            return
        loader = runner.train_dataloader
        images = len(loader.dataset)
        if model.unlabelled_norm:  # in a MixedDataset, beyond its length
            images += len(loader.dataset.unlabelled)
        with preserve_rng():
            for name, distiller in model.distillers.items():
                distiller.before_training(
                    _tensors(model, name, loader), images)


def _tensors(model: DistillationModel, name: str,
             loader: Any) -> Iterator[Tensors]:
    """What a distiller reads in its teachers, for random training batches."""
    model = copy.deepcopy(model)  # for the state of preprocessors
    size = min(_SAMPLES, batch_size(loader))
    batches = endless_batches(loader, size)
    while True:
        with error_context('the training data cannot be loaded'):
            data = next(batches)
        yield teacher_tensors(model, name, data)
