"""A short account of a run before its first iteration."""
import resource
from contextlib import suppress
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from mmkd.core.model import DistillationModel
from mmkd.core.rewriting import RewritingModel
from mmkd.core.teacher import Teacher
from mmkd.engine.cache.views import ViewDataset
from mmkd.engine.console import open_console
from mmkd.engine.hooks.cache_hook import CacheHook
from mmkd.engine.hooks.inherit_hook import InheritTeacherHook
from mmkd.evaluation.kitti_summary import kitti_summary
from mmkd.families import family_of
from mmkd.registry import HOOKS
from .self_check_hook import SelfCheckHook


@HOOKS.register_module()
class ConsoleHook(Hook):
    """Logs what is trained on what before the first iteration, and a summary
    of KITTI's many metrics. Until then, the console shows only warnings.

    mmkd's runner registers it.
    """
    priority = 'LOWEST'

    def before_train(self, runner: Any) -> None:
        """Log the account."""
        open_console(runner.logger)
        _forget_peak()
        rows = describe_run(runner)
        width = max(len(name) for name, _ in rows)
        runner.logger.info('\n' + '\n'.join(f'  {name:<{width}}  {text}'
                                            for name, text in rows))

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Note the peak memory of the process, as mmengine does of a GPU."""
        if not torch.cuda.is_available():
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            runner.message_hub.update_scalar('train/memory', peak // 1024)

    def before_val(self, runner: Any) -> None:
        """Begin to print."""
        open_console(runner.logger)

    def before_test(self, runner: Any) -> None:
        """Begin to print."""
        open_console(runner.logger)

    def after_val_epoch(self,
                        runner: Any,
                        metrics: Optional[Dict[str, float]] = None) -> None:
        """Log a summary of KITTI's metrics."""
        text = kitti_summary(metrics or {})
        if text:
            runner.logger.info(text)

    after_test_epoch = after_val_epoch


def _forget_peak() -> None:
    """Let the peak memory of the process begin anew, where Linux can."""
    with suppress(OSError), open('/proc/self/clear_refs', 'w') as file:
        file.write('5')


def describe_run(runner: Any) -> List[Tuple[str, str]]:
    """Names and descriptions of what a runner trains, on what and how."""
    model = runner.model.module if is_model_wrapper(
        runner.model) else runner.model
    distils = isinstance(model, DistillationModel)
    rewrites = isinstance(model, RewritingModel)
    student = model.student if distils else (
        model.rewriter if rewrites else model)
    rows = [('module' if rewrites else 'student',
             f'{_network(student)}, {_start(runner)}')]
    teachers: Mapping[str, Teacher] = {}
    given = runner.cfg.model.get('teachers') or {}
    if rewrites:
        teachers = dict(teacher=model.teacher)
        given = dict(teacher=runner.cfg.model.get('teacher'))
    elif distils:
        teachers = model.teachers
    for name, teacher in teachers.items():
        ckpt = (given.get(name) or {}).get('ckpt')
        rows.append(('teacher' if name == 'teacher' else f'teacher {name}',
                     f'{_network(teacher.network)}, '
                     f'weights: {ckpt}'))
    if distils:
        for name, distiller in model.distillers.items():
            whole = distiller.loss_weight.value
            terms = ', '.join(f'{term} x {weight.value * whole:g}' +
                              ('' if distiller.balance is None else ' x auto')
                              for term, weight in distiller.weights.items())
            rows.append(('method', f'{type(distiller).__name__}: {terms}'))
    return [
        *rows, ('data', _data(runner)), ('schedule', _schedule(runner)),
        ('device', _device(runner)),
        ('speed', _speed(runner, model, teachers)), *_caches(runner),
        ('checks', _checks(runner)),
        ('log file', f'{runner.log_dir}/{runner.timestamp}.log'
         '  (config, hooks, taps, environment)')
    ]


def _start(runner: Any) -> str:
    if runner.iter:
        return f'resumed at iteration {runner.iter}'
    if runner._load_from:
        return f'weights of {runner._load_from}'
    inherited = [
        hook.account for hook in runner.hooks
        if isinstance(hook, InheritTeacherHook) and hook.account
    ]
    return ', '.join(inherited) or 'initial weights of its config'


def _network(network: nn.Module) -> str:
    count = sum(p.numel() for p in network.parameters())
    return (f'{family_of(network).describe(network)}, '
            f'{count / 1e6:.3g} M parameters')


def _data(runner: Any) -> str:
    loader = runner.train_dataloader
    dataset = loader.dataset
    if isinstance(dataset, ViewDataset):
        dataset = dataset.dataset
    text = type(dataset).__name__
    if loader.batch_sampler:
        text += (f', {len(dataset):,} samples in batches of '
                 f'{loader.batch_sampler.batch_size}')
    loop = runner.val_loop
    if loop is not None:
        text += f'; {len(loop.dataloader.dataset):,} for validation'
    return text


def _schedule(runner: Any) -> str:
    loop = runner.train_loop
    by_epoch = getattr(loop, '_max_epochs', 1) > 1
    text = f'{loop.max_iters:,} iterations'
    if by_epoch:
        text = f'{loop.max_epochs} epochs, {text}'
    interval = getattr(loop, 'val_interval', None)
    if runner.val_loop is not None and interval:
        text += (f', validation every {interval:,} '
                 f'{"epochs" if by_epoch else "iterations"}')
    return f'{text}, seed {runner.seed}'


def _device(runner: Any) -> str:
    device = next(runner.model.parameters()).device
    text = str(device)
    if device.type == 'cpu':
        count = torch.get_num_threads()
        text += f', {count} thread{"s" * (count > 1)}'
    elif device.type == 'cuda':
        text += f' ({torch.cuda.get_device_name(device)})'
    return text if runner.world_size == 1 else (
        f'{text}, {runner.world_size} processes')


def _speed(runner: Any, model: nn.Module, teachers: Mapping[str,
                                                            Teacher]) -> str:
    wrapper = type(runner.optim_wrapper).__name__
    parts = ['mixed precision' if 'Amp' in wrapper else 'float32']
    if getattr(model, 'channels_last', False):
        parts.append('channels_last')
    if getattr(model, 'compiled', False):
        parts.append('backbone compiled in the first step')
    if torch.backends.cudnn.benchmark:
        parts.append('cudnn benchmark')
    if torch.are_deterministic_algorithms_enabled():
        parts.append('deterministic')
    if runner.cfg.get('compile'):
        parts.append('torch.compile')
    workers = runner.train_dataloader.num_workers
    parts.append(f'{workers} loader process{"es" * (workers != 1)}')
    faster = [
        f'{name}: {", ".join(teacher.changes)}'
        for name, teacher in teachers.items() if teacher.changes
    ]
    return '; '.join([', '.join(parts), *faster])


def _caches(runner: Any) -> List[Tuple[str, str]]:
    """What the caches of teachers will give."""
    return [('cache' if name == 'teacher' else f'cache of {name}', text)
            for hook in runner.hooks if isinstance(hook, CacheHook)
            for name, text in hook.report.items()]


def _checks(runner: Any) -> str:
    """The results of the checks in short."""
    report = next(
        (hook.report
         for hook in runner.hooks if isinstance(hook, SelfCheckHook)), {})
    parts = []
    for name, found in report.items():
        if name.startswith('teacher '):
            name = 'teacher' if name == 'teacher teacher' else name
            blank = found['blank']
            parts.append(f'{name}: task loss {found["loss"]:.3g}' +
                         (f' ({blank:.3g} on blank input)' if blank else ''))
    terms = [x for x in report.values() if x.get('gradient') is not None]
    if terms:
        largest = max(terms, key=lambda x: x['gradient'])
        parts.append(f'largest gradient: {largest["term"]}, '
                     f'{largest["gradient"]:.3g} times the task loss')
    fast = 'data and classes ok' if runner.cfg.get('checks', True) else 'off'
    return '; '.join([fast, *parts])
