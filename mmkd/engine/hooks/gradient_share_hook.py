"""Reading the gradients for loss weights with ``type='gam'``."""
import math
from typing import Any, Dict, List

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict

from mmkd.core.gradient_share import GradientShare
from mmkd.core.model import DistillationModel
from mmkd.registry import HOOKS


@HOOKS.register_module()
class GradientShareHook(Hook):
    """Give each :class:`~mmkd.core.gradient_share.GradientShare` gradients.

    They are read before each update of the weights, when they are unscaled
    and equal in all processes, and the loss weights change after each pass
    over the data, also in runs by iteration. ``prepare_training`` adds the
    hook where a config needs it.
    """

    def __init__(self) -> None:
        self._shares: Dict[str, GradientShare] = {}
        self._handles: List[Any] = []

    def before_train(self, runner) -> None:
        """Find the modules, and listen to the optimiser."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        if not isinstance(model, DistillationModel):
            return
        self._shares = {
            name: distiller.balance
            for name, distiller in model.distillers.items()
            if isinstance(distiller.balance, GradientShare)
        }
        if not self._shares:
            return
        parts = []
        for share in self._shares.values():
            share.is_read = True
            own = {
                id(parameter)
                for path in share.modules_read
                for parameter in model.student.get_submodule(
                    path).parameters()
            }
            parts.append(
                (share, [p for p in model.parameters() if id(p) in own],
                 [p for p in model.parameters() if id(p) not in own]))

        def read(*_: Any) -> None:
            for share, own, others in parts:
                share.add(own, others)

        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(
            wrapper, OptimWrapperDict) else [wrapper]
        self._handles = [
            each.optimizer.register_step_pre_hook(read) for each in wrappers
        ]

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        """Change the loss weights at the end of an epoch."""
        if not self._shares:
            return
        loader = runner.train_dataloader
        length = len(loader)
        if isinstance(getattr(loader, 'sampler', None), InfiniteSampler):
            # Its length is that of the data, not of the part of a process.
            length = max(1, length // get_world_size())
        if not self.every_n_train_iters(runner, length):
            return
        epoch = (runner.iter + 1) // length
        epochs = math.ceil(runner.max_iters / length)
        for name, share in self._shares.items():
            found = share.end_epoch(epoch >= epochs - share.last_epochs)
            print_log(
                f'{name}: {float(found):.3g} % of the gradients are in '
                f'{", ".join(share.modules_read)}; its weight is now '
                f'{float(share.weight):.4g}', 'current')

    def after_train(self, runner) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()
