"""mmengine's runner, reading checkpoints as data."""
import glob
import os
import os.path as osp
import re
from typing import Any, Callable, Dict, List, Optional, Tuple, Union

from mmengine.dist import is_main_process
from mmengine.logging import MessageHub, MMLogger
from mmengine.model import is_model_wrapper
from mmengine.registry import RUNNERS, DefaultScope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import (_load_checkpoint,
                                        _load_checkpoint_to_model)
from torch import nn

from mmkd.errors import CheckpointError
from mmkd.utils.checkpoint import read_file


def last_checkpoint(folder: str) -> Optional[str]:
    """The checkpoint to go on from, also where the note of it is damaged.

    Args:
        folder (str): Work folder of a run.

    Returns:
        str | None: Path of the checkpoint; None if there is none.
    """
    note = osp.join(folder, 'last_checkpoint')
    if osp.isfile(note):
        with open(note, encoding='utf-8') as file:
            path = file.read().strip()
        for candidate in (path, osp.join(folder, osp.basename(path))):
            if osp.isfile(candidate):
                return candidate
    numbered = {}
    for path in glob.glob(osp.join(glob.escape(folder), '*.pth')):
        match = re.fullmatch(r'(?:iter|epoch)_(\d+)\.pth', osp.basename(path))
        if match:
            numbered[int(match[1])] = path
    return numbered[max(numbered)] if numbered else None


@RUNNERS.register_module()
class DistillationRunner(Runner):
    """mmengine's runner, whose checkpoints cannot run code.

    mmengine 0.10 cannot resume from its own checkpoints on torch >= 2.6, and
    executes the config that a checkpoint carries along. Here a checkpoint is
    read as weights and plain data, and its config stays text. A checkpoint
    appears under its name when it is complete, so that a run that is killed
    while it saves leaves no broken one.
    """

    def train(self) -> nn.Module:
        """Train; see :class:`~mmengine.runner.Runner`."""
        self._become_current()
        return super().train()

    def val(self) -> Dict[str, float]:
        """Validate; see :class:`~mmengine.runner.Runner`."""
        self._become_current()
        return super().val()

    def test(self) -> Dict[str, float]:
        """Test; see :class:`~mmengine.runner.Runner`."""
        self._become_current()
        return super().test()

    def _become_current(self) -> None:
        """Take the process's message hub, log and scope back from a runner
        that was built later."""
        for manager in (MessageHub, MMLogger, DefaultScope):
            if self.experiment_name in manager._instance_dict:
                manager._instance_dict.move_to_end(self.experiment_name)

    def load_or_resume(self) -> None:
        """Load or resume; see :class:`~mmengine.runner.Runner`."""
        if self._resume and self._load_from is None and not self._has_loaded:
            self._load_from = last_checkpoint(self.work_dir)
            if self._load_from is None:
                self.logger.info(f'no checkpoint in {self.work_dir} to '
                                 'resume from; training starts anew')
                return
        super().load_or_resume()

    def load_checkpoint(
            self,
            filename: str,
            map_location: Union[str, Callable] = 'cpu',
            strict: bool = False,
            revise_keys: List[Tuple[str, str]] = [(r'^module.', '')]) -> dict:
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
        try:
            super().resume(filename, resume_optimizer, resume_param_scheduler,
                           map_location or 'cpu')
        except KeyError as error:
            raise CheckpointError(
                f'{filename} is no checkpoint of a run to resume (it has no '
                f'{error}); `load_from` without `resume` starts from its '
                'weights') from error

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
