"""Reproducing an iteration whose loss was NaN or infinite."""
from dataclasses import dataclass
from typing import Any, Dict, Optional

from mmengine.device import get_device
from mmengine.logging import MessageHub
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import set_random_seed
from torch import nn

from mmkd.core.taps.dry_run import tensors_in
from mmkd.errors import CheckpointError
from mmkd.ops.operators import autocast
from mmkd.utils.checkpoint import read_file
from mmkd.utils.config import ConfigLike, read_config
from mmkd.utils.rng import preserve_rng, set_random_state


@dataclass
class Replay:
    """Result of repeating the forward pass of a saved iteration.

    Attributes:
        iter (int): The iteration, numbered as in the log.
        terms (dict[str, float]): The losses by name.
        saved (dict[str, float]): The losses of the original run.
        module (str, optional): Path of the first module whose output was not
            finite while its inputs were.
    """
    iter: int
    terms: Dict[str, float]
    saved: Dict[str, float]
    module: Optional[str] = None


def replay_step(cfg: ConfigLike, path: str) -> Replay:
    """Repeat the forward pass of an iteration exactly.

    Args:
        cfg (str | dict | Config): The config of the run.
        path (str): File saved by
            :class:`~mmkd.engine.hooks.FiniteLossHook`. It holds the batch as
            Python objects, which could contain code: only use files of your
            own runs.

    Returns:
        Replay: The losses, and the first module with a non-finite output.

    Raises:
        CheckpointError: If the file cannot be read or is not a saved
            iteration.
    """
    content = read_file(path, trusted=True)
    wanted = {'iter', 'batch', 'random_state', 'state_dict'}
    if not isinstance(content, dict) or not wanted <= set(content):
        raise CheckpointError(f'{path} is no saved iteration; those of a run '
                              'are in `non_finite/` of its work folder')
    cfg = read_config(cfg)
    hub = MessageHub.get_instance('replay')
    hub.update_info('iter', content['iter'])
    hub.update_info('max_iters', content['max_iters'])
    with preserve_rng(), DefaultScope.overwrite_default_scope(
            cfg.get('default_scope')):
        # As in a run that starts from this config.
        set_random_seed((cfg.get('randomness') or {}).get('seed') or 0)
        settings = dict(cfg.model)
        if cfg.get('data_preprocessor'):
            settings.setdefault('data_preprocessor', cfg.data_preprocessor)
        model = MODELS.build(settings)
        model.load_state_dict(content['state_dict'])
        device = get_device()
        model.to(device).train()
        set_random_state(content['random_state'])
        context = autocast(device, content.get('autocast'))
        with _FirstBroken(model) as seen, context:
            batch = model.data_preprocessor(content['batch'], True)
            losses = model(**batch, mode='loss')
        _, terms = model.parse_losses(losses)
    return Replay(
        content['iter'] + 1, {
            name: float(value.detach())
            for name, value in terms.items() if name != 'loss'
        }, content['terms'], seen.path)


class _FirstBroken:
    """Context that finds the first module with a non-finite output."""

    def __init__(self, model: nn.Module) -> None:
        self.path: Optional[str] = None
        self._names = {
            module: path
            for path, module in model.named_modules() if path
        }

    def __enter__(self) -> '_FirstBroken':
        self._handles = [
            module.register_forward_hook(self._look, with_kwargs=True)
            for module in self._names
        ]
        return self

    def __exit__(self, *error: Any) -> None:
        for handle in self._handles:
            handle.remove()

    def _look(self, module: nn.Module, args: tuple, kwargs: dict,
              output: Any) -> None:
        if self.path is None and _finite([*args, kwargs
                                          ]) and not _finite(output):
            self.path = self._names[module]


def _finite(value: Any) -> bool:
    return all(
        bool(x.isfinite().all()) for x in tensors_in(value)
        if x.is_floating_point())
