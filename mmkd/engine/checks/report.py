"""``mmkd check``: all that can be found out about a run without training."""
import copy
import os.path as osp
import tempfile
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Tuple

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from torch import nn

from mmkd.core.cache.opening import caches_of
from mmkd.core.model import DistillationModel
from mmkd.data.checks import check_datasets
from mmkd.data.checks.problems import raise_problems
from mmkd.engine.checks.batches import (batch_norm_fault, check_training,
                                        check_validation)
from mmkd.engine.checks.classes import class_faults, classes_of
from mmkd.engine.checks.fast import (datasets_of, label_count, plain_model,
                                     sample_problems, validated)
from mmkd.engine.checks.settings import (evaluator_problems, setting_problems,
                                         warm_up_warnings)
from mmkd.engine.configs import prepare_training
from mmkd.engine.hooks.cache_hook import CacheHook
from mmkd.engine.hooks.self_check_hook import SelfCheckHook
from mmkd.errors import MMKDError

SPLITS = ('train', 'val', 'test')


class Report:
    """What was checked, and what is wrong.

    Attributes:
        rows (list[tuple[str, bool, str]]): Name of each check, whether it
            passed, and what it looked at.
        problems (list[str]): What is wrong, one line each.
        warnings (list[str]): What may be wrong.
    """

    def __init__(self) -> None:
        self.rows: List[Tuple[str, bool, str]] = []
        self.problems: List[str] = []
        self.warnings: List[str] = []

    @contextmanager
    def check(self, name: str) -> Iterator[List[str]]:
        """Context of a check that yields the lines to describe it; errors
        that name their cause become problems."""
        said: List[str] = []
        before = len(self.problems)
        try:
            yield said
        except MMKDError as error:
            self.problems += error.lines
        found = len(self.problems) - before
        self.rows.append((name, not found, ', '.join(said) if not found else
                          f'{found} problem{"s" * (found > 1)}'))


class Check:
    """The checks of one config, each on what the ones before have built.

    Args:
        cfg (Config): Config of a run; it is changed.
        build_runner (Callable): Builds the runner of a prepared config.
        samples (int): Number of samples to read of each data set.
    """

    def __init__(self, cfg: Config, build_runner: Callable[[Config], Runner],
                 samples: int) -> None:
        self.cfg = cfg
        self.build_runner = build_runner
        self.samples = samples
        self.report = Report()

    def run(self) -> Report:
        """Check everything; nothing is written."""
        self._settings()
        self._files()
        with tempfile.TemporaryDirectory() as folder:
            self.cfg.work_dir = folder
            # mmengine keeps a logger and a visualizer for each name.
            self.cfg.experiment_name = osp.basename(folder)
            runner = self._networks()
            if runner is not None and self._parts(runner) and self._data(
                    runner):
                self._batches(runner)
        return self.report

    def _settings(self) -> None:
        with self.report.check('settings') as said:
            said.append(f'{len(self.cfg)} top-level keys')
            self.report.problems += setting_problems(self.cfg)
            self.report.problems += [
                text for text in evaluator_problems(self.cfg, 'test_evaluator')
                if not self._same('test', 'val')
            ]
        with self.report.check('device') as said:
            said.append(get_device())

    def _same(self, split: str, other: str) -> bool:
        return all(
            self.cfg.get(f'{split}_{part}') == self.cfg.get(f'{other}_{part}')
            for part in ('dataloader', 'evaluator'))

    def _files(self) -> None:
        with self.report.check('index files') as said:
            loaders = {
                split: self.cfg.get(f'{split}_dataloader')
                for split in SPLITS if self.cfg.get(f'{split}_dataloader')
            }
            if loaders.get('test') == loaders.get('val'):
                loaders.pop('test', None)
            said += loaders
            raise_problems(
                check_datasets(x.get('dataset') for x in loaders.values()))

    def _networks(self) -> Optional[Runner]:
        with self.report.check('networks') as said:
            cfg = prepare_training(self.cfg)
            cfg.log_level = 'ERROR'
            if cfg.get('visualizer'):  # no experiment is opened
                cfg.visualizer.vis_backends = []
            cfg.load_from, cfg.resume = None, False
            runner = self.build_runner(cfg)
            model = plain_model(runner)
            said.append(_describe('student', getattr(model, 'student', model)))
            for name, teacher in getattr(model, 'teachers', {}).items():
                said.append(_describe(name, teacher.network))
            return runner
        return None

    def _parts(self, runner: Runner) -> bool:
        """Build what training builds; whether that worked."""
        before = len(self.report.problems)
        with self.report.check('data sets') as said:
            runner._train_loop = runner.build_train_loop(runner._train_loop)
            if runner._val_loop is not None:
                runner._val_loop = runner.build_val_loop(runner._val_loop)
            if runner._test_loop is not None and not self._same('test', 'val'):
                runner._test_loop = runner.build_test_loop(runner._test_loop)
            for split, dataset in datasets_of(runner).items():
                said.append(f'{split} {len(dataset)} samples')
        if len(self.report.problems) > before:
            return False  # the schedule needs their length
        with self.report.check('optimiser'):
            wrapper = runner.build_optim_wrapper(
                copy.deepcopy(self.cfg.get('optim_wrapper')))
            runner.optim_wrapper = wrapper
            if runner.param_schedulers is not None:
                schedulers = runner.build_param_scheduler(
                    runner.param_schedulers)
                self.report.warnings += warm_up_warnings(
                    schedulers, runner.max_iters)
        return len(self.report.problems) == before

    def _data(self, runner: Runner) -> bool:
        """Check the data sets that were built; whether all is well."""
        before = len(self.report.problems)
        model, datasets = plain_model(runner), datasets_of(runner)
        with self.report.check('classes') as said:
            for text, stops in class_faults(model, datasets):
                (self.report.problems
                 if stops else self.report.warnings).append(text)
            classes = classes_of(next(iter(datasets.values()))) or []
            said.append(f'{len(classes)}: {", ".join(classes[:5])}' + ', ...' *
                        (len(classes) > 5))
        with self.report.check('samples') as said:
            for split, dataset in datasets.items():
                raise_problems(
                    sample_problems(dataset, self.samples, label_count(model)))
                said.append(f'{split} {min(len(dataset), self.samples)} of '
                            f'{len(dataset)} read')
        return len(self.report.problems) == before

    def _batches(self, runner: Runner) -> None:
        model = plain_model(runner)
        with self.report.check('initial weights'):
            runner._init_model_weights()
        if runner._val_loop is not None:
            with self.report.check('a validation batch') as said:
                single = check_validation(
                    validated(model), runner.val_dataloader,
                    runner.val_loop.evaluator)
                fault = batch_norm_fault(runner.train_dataloader, single)
                self.report.problems += [fault] if fault else []
                said += [
                    type(metric).__name__
                    for metric in runner.val_loop.evaluator.metrics
                ]
        with self.report.check('a training batch') as said:
            if isinstance(model, DistillationModel):
                hook = SelfCheckHook()
                hook.before_train(runner)
                said += list(hook.report)
                self.report.warnings += hook.warnings
            else:
                loss = check_training(model, runner.train_dataloader)
                said.append('not tried: its sampler is of a special kind'
                            if loss is None else f'loss {loss:.4g}')
        if caches_of(getattr(model, 'teachers', {})):
            with self.report.check('cache') as said:
                cache = CacheHook()
                cache.before_train(runner)
                said += cache.report.values()


def check_config(cfg: Config,
                 build_runner: Callable[[Config], Runner],
                 samples: int = 200) -> Report:
    """Check all that can be found out about a run without training.

    Args:
        cfg (Config): Config of a run; it is changed.
        build_runner (Callable): Builds the runner of a prepared config.
        samples (int): Number of samples to read of each data set, evenly
            spaced. Defaults to 200.
    """
    return Check(cfg, build_runner, samples).run()


def _describe(name: str, network: nn.Module) -> str:
    count = sum(p.numel() for p in network.parameters())
    return f'{name} {type(network).__name__} ({count / 1e6:.1f} M parameters)'
