"""mmengine's runner, reading checkpoints as data."""
import os
import os.path as osp
from typing import Any, Callable, List, Optional, Tuple, Union

from mmengine.dist import is_main_process
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.runner.checkpoint import (_load_checkpoint,
                                        _load_checkpoint_to_model)

from mmkd.errors import CheckpointError
from mmkd.utils.checkpoint import read_file


@RUNNERS.register_module(name='mmkd.DistillationRunner')
class DistillationRunner(Runner):
    """mmengine's runner, whose checkpoints cannot run code.

    mmengine 0.10 cannot resume from its own checkpoints on torch >= 2.6, and
    executes the config that a checkpoint carries along. Here a checkpoint is
    read as weights and plain data, and its config stays text. A checkpoint
    appears under its name when it is complete, so that a run that is killed
    while it saves leaves no broken one.
    """

    def load_checkpoint(self,
                        filename: str,
                        map_location: Union[str, Callable] = 'cpu',
                        strict: bool = False,
                        revise_keys: List[Tuple[str, str]] = [(r'^module.',
                                                               '')]) -> dict:
        """Load a checkpoint; see :class:`~mmengine.runner.Runner`.

        Raises:
            CheckpointError: If it is missing, broken, holds more than data,
                or matches nothing.
        """
        filename = str(filename)
        if '://' in filename and not filename.startswith('http'):
            # A model zoo of mmengine's, such as torchvision://resnet18;
            # torch >= 2.6 reads it as weights only.
            checkpoint = _load_checkpoint(filename, map_location='cpu')
        else:
            checkpoint = read_file(filename)
        if not isinstance(checkpoint, dict):
            raise CheckpointError(f'{filename} is no checkpoint')
        if isinstance(checkpoint.get('meta'), dict):
            checkpoint['meta'].pop('config', None)
        if not isinstance(checkpoint.get('state_dict'), dict):
            checkpoint = dict(state_dict=checkpoint, meta={})
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        model = self.model.module if is_model_wrapper(
            self.model) else self.model
        try:
            checkpoint = _load_checkpoint_to_model(
                model, checkpoint, strict, revise_keys=revise_keys)
        except CheckpointError as error:
            raise CheckpointError(f'{filename}: {error}') from None
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    def resume(self,
               filename: str,
               resume_optimizer: bool = True,
               resume_param_scheduler: bool = True,
               map_location: Optional[Union[str, Callable]] = 'cpu') -> None:
        """Resume; see :class:`~mmengine.runner.Runner`."""
        super().resume(filename, resume_optimizer, resume_param_scheduler,
                       map_location or 'cpu')

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any,
                        **kwargs: Any) -> None:
        """Save under another name first; see
        :class:`~mmengine.runner.Runner`."""
        target = osp.join(out_dir, filename)
        if '://' in out_dir:  # not a local folder
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        super().save_checkpoint(out_dir, f'{filename}.part', *args, **kwargs)
        if is_main_process():
            os.replace(f'{target}.part', target)
