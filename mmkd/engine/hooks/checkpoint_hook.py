"""Saving checkpoints so that none is lost on the way."""
import glob
import inspect
import os
import os.path as osp
from typing import Any, Dict, List

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
    """mmengine's, which removes a file once what replaces it is on disk.

    :class:`~mmkd.engine.runner.DistillationRunner` takes it in place of
    mmengine's, with the same arguments.

    Raises:
        ConfigError: If an argument is unknown, which mmengine would say at
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
        """Remove what was being written when a run was killed."""
        super().before_train(runner)
        if is_main_process() and '://' not in self.out_dir:
            for name in ('*.pth.part', 'last_checkpoint.part'):
                for path in glob.glob(
                        osp.join(glob.escape(self.out_dir), name)):
                    os.remove(path)

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
            lambda file: file.write(self.last_ckpt.encode()))
        for old in outdated:
            path = self.file_backend.join_path(self.out_dir,
                                               self.filename_tmpl.format(old))
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
