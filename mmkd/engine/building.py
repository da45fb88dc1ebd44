"""A runner whose errors name the part of the config at fault."""
import io
import logging
import time
from contextlib import redirect_stdout
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmkd.data.broken import annotation_errors, name_files
from mmkd.data.checks import check_datasets, raise_problems
from mmkd.engine.checks import check_batches, check_parts
from mmkd.engine.checks.fast import SKIP, datasets_of, label_count, plain_model
from mmkd.engine.console import filter_console
from mmkd.engine.processes import check_sync_bn
from mmkd.errors import CheckpointError, ConfigError
from mmkd.utils.arguments import error_context
from mmkd.utils.collector import paused_collector
from mmkd.utils.imports import version_only


class NamingRunner(Runner):
    """mmengine's runner; errors name the part of the config at fault.

    mmengine builds most parts when training begins, deep inside of other
    calls.

    It does not write its config into the work folder, which may be that of
    another run.
    """

    def dump_config(self) -> None:
        """Write nothing; mmengine calls it for every runner that it builds."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """See the base class; the console gets less than the log file, and
        names of files that are no UTF-8 are logged with escapes."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.FileHandler):
                handler.stream.reconfigure(errors='backslashreplace')
        filter_console(logger)
        return logger

    def register_hooks(self, *args: Any, **kwargs: Any) -> None:
        """See the base class; adds the :class:`.hooks.ConsoleHook`."""
        from mmkd.engine.hooks.console_hook import ConsoleHook
        super().register_hooks(*args, **kwargs)
        self.register_hook(ConsoleHook())

    def _log_env(self, env_cfg: dict) -> None:
        # Its import, for the version alone, takes a second.
        with version_only('torchvision'):
            super()._log_env(env_cfg)

    def build_model(self, *args: Any, **kwargs: Any) -> Any:
        """See the base class."""
        with error_context('`model`'):
            return super().build_model(*args, **kwargs)

    def wrap_model(self, model_wrapper_cfg: Any, model: Any) -> Any:
        """See the base class."""
        if self.distributed:
            check_sync_bn(model, self.cfg.get('sync_bn'))
        with error_context('`model_wrapper_cfg` or `sync_bn`'):
            return super().wrap_model(model_wrapper_cfg, model)

    @staticmethod
    def build_dataloader(dataloader: Any, *args: Any,
                         **kwargs: Any) -> DataLoader:
        """See the base class; later loading errors name the file
        (:class:`~mmkd.data.broken.NamingPipeline`)."""
        if not isinstance(dataloader, dict):
            return Runner.build_dataloader(dataloader, *args, **kwargs)
        # pycocotools prints as it reads.
        with paused_collector(), annotation_errors(
                dataloader.get('dataset')), redirect_stdout(io.StringIO()):
            loader = Runner.build_dataloader(dataloader, *args, **kwargs)
        name_files(loader.dataset)
        return loader

    def build_train_loop(self, *args: Any, **kwargs: Any) -> Any:
        """See the base class."""
        with error_context('`train_cfg`'):
            return super().build_train_loop(*args, **kwargs)

    def build_val_loop(self, *args: Any, **kwargs: Any) -> Any:
        """See the base class."""
        with error_context('`val_cfg`'):
            return super().build_val_loop(*args, **kwargs)

    def build_test_loop(self, *args: Any, **kwargs: Any) -> Any:
        """See the base class."""
        with error_context('`test_cfg`'):
            return super().build_test_loop(*args, **kwargs)

    def build_evaluator(self, *args: Any, **kwargs: Any) -> Any:
        """See the base class."""
        with error_context('`val_evaluator` or `test_evaluator`'):
            evaluator = super().build_evaluator(*args, **kwargs)
            for metric in evaluator.metrics:
                _check_metric(metric)
            return evaluator

    def build_optim_wrapper(self, *args: Any, **kwargs: Any) -> Any:
        """See the base class."""
        with error_context('`optim_wrapper`'):
            return super().build_optim_wrapper(*args, **kwargs)

    def build_param_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """See the base class."""
        with error_context('`param_scheduler`'):
            return super().build_param_scheduler(*args, **kwargs)

    def scale_lr(self, *args: Any, **kwargs: Any) -> None:
        """See the base class."""
        with error_context('`auto_scale_lr`'):
            super().scale_lr(*args, **kwargs)

    def register_default_hooks(self, *args: Any, **kwargs: Any) -> None:
        """See the base class."""
        with error_context('`default_hooks`'):
            super().register_default_hooks(*args, **kwargs)

    def register_custom_hooks(self, *args: Any, **kwargs: Any) -> None:
        """See the base class."""
        with error_context('`custom_hooks`'):
            super().register_custom_hooks(*args, **kwargs)

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """See the base class; checks what was built before a run and before
        training begins."""
        if fn_name == 'before_run':
            self._bound_labels()
            if self._checks:
                check_parts(self)
            with error_context(
                    '`custom_hooks`, `default_hooks` or `visualizer`'):
                super().call_hook(fn_name, **kwargs)
            return
        if fn_name == 'before_train' and self._checks and not self.iter:
            started = time.monotonic()
            check_batches(self)
            self.logger.info('checked the classes, some samples and a batch '
                             f'in {time.monotonic() - started:.1f} s')
        super().call_hook(fn_name, **kwargs)

    @property
    def _checks(self) -> bool:
        """Whether this process checks the run."""
        return bool(is_main_process() and self.cfg.get('checks', True))

    def check_data(self, *loaders: Any) -> None:
        """Check the data sets of loaders, unless ``checks=False`` is in the
        config; in the main process only.

        Args:
            *loaders (dict): Configs of data loaders; others are skipped.

        Raises:
            DataError: If data is wrong; see :mod:`mmkd.data.checks`.
        """
        if not self._checks:
            return
        started = time.monotonic()
        raise_problems(
            check_datasets(
                loader.get('dataset') for loader in loaders
                if isinstance(loader, dict)), SKIP)
        self.logger.info('checked the index files of the data in '
                         f'{time.monotonic() - started:.1f} s')

    def _bound_labels(self) -> None:
        """Let the loaders refuse labels that the segmentation head lacks."""
        count = label_count(plain_model(self))
        for dataset in datasets_of(self).values():
            if count:
                name_files(dataset, count)

    def _init_model_weights(self) -> None:
        part = f'the initial weights ({_pretrained(plain_model(self))})'
        try:
            with error_context(part):
                super()._init_model_weights()
        except CheckpointError as error:
            raise CheckpointError(
                f'{part}: {error}; `init_cfg=None` starts without') from None


def _pretrained(model: nn.Module) -> str:
    """The settings of a model that load weights, as text."""
    found = []
    for name, module in model.named_modules(prefix='model'):
        given = getattr(module, 'init_cfg', None) or []
        for each in [given] if isinstance(given, dict) else given:
            if each.get('type') == 'Pretrained':
                found.append(f'`{name}.init_cfg`')
    return ', '.join(found) or '`init_cfg`'


def _check_metric(metric: Any) -> None:
    """Check the metric's names, which mmseg does only after validation."""
    known = ('mIoU', 'mDice', 'mFscore')
    if type(metric).__name__ == 'IoUMetric' and not set(
            metric.metrics) <= set(known):
        raise ConfigError(f'`iou_metrics` of IoUMetric are {metric.metrics}; '
                          f'there are {", ".join(known)}')
