"""Saving checkpoints without losing earlier ones."""
import glob
import inspect
import os
import os.path as osp
import re
from typing import Any, Dict, Iterable, List

from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmkd.errors import ConfigError
from mmkd.registry import HOOKS
from mmkd.utils.arguments import argument_names
from mmkd.utils.files import write_file
from mmkd.utils.suggestions import did_you_mean


@HOOKS.register_module()
class SafeCheckpointHook(CheckpointHook):
    """mmengine's hook; removes a file only once its replacement is on disk.

    :class:`~mmkd.engine.runner.DistillationRunner` uses it instead of
    mmengine's, with the same arguments.

    Raises:
        ConfigError: If an argument is unknown; mmengine would only fail at
            the first checkpoint.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        further = inspect.signature(Runner.save_checkpoint).parameters
        wrong = [name for name in self.args if name not in further]
        if wrong:
            known = argument_names(CheckpointHook)
            raise ConfigError(f'CheckpointHook has no argument {wrong[0]!r}. '
                              f'{did_you_mean(wrong[0], known)} It takes '
                              f'{", ".join(known)}.')

    def before_train(self, runner) -> None:
        """Restore the list of the run's files, and remove incomplete files
        that a killed run left.

        mmengine would remove or publish whatever file the checkpoint names as
        the best one so far. This hook only accepts names that it writes
        itself, and only from a checkpoint in the folder of this run;
        otherwise, files of a different run could be removed.
        """
        hub = runner.message_hub
        noted = {
            key: hub.runtime_info.pop(key)
            for key in list(hub.runtime_info)
            if key == 'keep_ckpt_ids' or key.startswith('best_ckpt')
        }
        super().before_train(runner)
        if self._resumes_own(runner):
            self._take_up(runner, noted)
        if is_main_process() and '://' not in self.out_dir:
            for path in glob.glob(
                    osp.join(glob.escape(self.out_dir), '*.part')):
                name = osp.basename(path)[:-len('.part')]
                if name == 'last_checkpoint' or self._is_own(name):
                    os.remove(path)

    def _resumes_own(self, runner) -> bool:
        """Whether the run resumes from a checkpoint in its own folder."""
        if not runner._resume or runner._load_from is None:
            return False
        folder, own = osp.dirname(str(runner._load_from)), str(self.out_dir)
        if '://' in own:
            return folder == own.rstrip('/')
        return osp.realpath(folder) == osp.realpath(own)

    def _is_own(self, name: str, best: bool = False) -> bool:
        """Whether the hook writes checkpoints with such a name."""
        step = re.sub(r'\\{.*?\\}', r'\\d+', re.escape(self.filename_tmpl))
        start = 'best_.+_' if best else '(best_.+_)?'
        return re.fullmatch(start + step, name) is not None

    def _take_up(self, runner, noted: Dict[str, Any]) -> None:
        """Restore the files that a checkpoint of this run lists."""
        if self.max_keep_ckpts > 0:
            steps = list(noted.get('keep_ckpt_ids', ()))
            self.keep_ckpt_ids.extend(steps)
            if is_main_process():  # the config may keep fewer now
                self._remove(steps[:-self.max_keep_ckpts])
            runner.message_hub.update_info('keep_ckpt_ids',
                                           list(self.keep_ckpt_ids))
        for key, noted_path in noted.items():
            name = osp.basename(str(noted_path))
            path = self.file_backend.join_path(self.out_dir, name)
            if (not key.startswith('best_ckpt')
                    or not self._is_own(name, best=True)
                    or not self.file_backend.isfile(path)):
                continue
            runner.message_hub.update_info(key, path)
            if key == 'best_ckpt' and hasattr(self, 'best_ckpt_path'):
                self.best_ckpt_path = path
            metric = key[len('best_ckpt_'):]
            if metric in getattr(self, 'best_ckpt_path_dict', {}):
                self.best_ckpt_path_dict[metric] = path

    def _save_checkpoint_with_step(self, runner, step: int,
                                   meta: Dict[str, Any]) -> None:
        outdated: List[int] = []
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated.append(self.keep_ckpt_ids.popleft())
            self.keep_ckpt_ids.append(step)
            runner.message_hub.update_info('keep_ckpt_ids',
                                           list(self.keep_ckpt_ids))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args)
        if not is_main_process():
            return
        write_file(
            osp.join(runner.work_dir, 'last_checkpoint'),
            lambda file: file.write(os.fsencode(self.last_ckpt)))
        self._remove(outdated)

    def _remove(self, steps: Iterable[int]) -> None:
        """Remove the checkpoints of some steps."""
        for step in steps:
            path = self.file_backend.join_path(self.out_dir,
                                               self.filename_tmpl.format(step))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)

    def _save_best_checkpoint(self, runner, metrics: Dict[str, Any]) -> None:
        later = _RemovesLater(self.file_backend)
        self.file_backend = later
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = later.backend
        best = [
            runner.message_hub.get_info(key)
            for key in runner.message_hub.runtime_info
            if key.startswith('best_ckpt')
        ]
        later.finish(keep=best)


class _RemovesLater:
    """A file backend that waits before it removes files."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.paths: List[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.paths.append(path)

    def finish(self, keep: List[str]) -> None:
        for path in self.paths:
            if path not in keep and self.backend.isfile(path):
                self.backend.remove(path)
