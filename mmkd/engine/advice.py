"""Measuring the methods that serve a pair, on real data."""
import copy
import statistics
import time
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Dict, List, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmengine.runner import set_random_seed
from torch import Tensor, nn

from mmkd.core.model import DistillationModel
from mmkd.core.terms import total_loss
from mmkd.engine.building import NamingRunner
from mmkd.engine.gradients import measure_gradients
from mmkd.engine.hooks import SelfCheckHook
from mmkd.engine.pair import Fit, Pair, quiet_log
from mmkd.errors import ConfigError, MMKDError
from mmkd.utils.arguments import error_context
from mmkd.utils.rng import preserve_rng


@dataclass(frozen=True)
class StepCost:
    """What a training step costs, without the optimiser.

    Attributes:
        seconds (float): Median time.
        megabytes (float): On a GPU, the peak of the allocated memory; on a
            CPU, the tensors that are kept for the backward pass.
    """
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Advice:
    """A method on a pair.

    Attributes:
        method (str): Its name.
        options (dict): Its options.
        reason (str): Why it does not serve the pair; ``''`` if it does. The
            other values are then None.
        levels (int, optional): Tensors that it reads in the student.
        parameters (int, optional): Parameters of its own modules.
        time, memory (float, optional): Cost of a step, as a multiple of the
            student's own.
        gradient (float, optional): Norm of the gradient of the method at its
            default weights at the student's taps, as a multiple of the task
            loss's; median over the batches.
        loss_weight (float, optional): The weight that makes them equal.
    """
    method: str
    options: Dict[str, Any]
    reason: str = ''
    levels: Optional[int] = None
    parameters: Optional[int] = None
    time: Optional[float] = None
    memory: Optional[float] = None
    gradient: Optional[float] = None
    loss_weight: Optional[float] = None


class Adviser:
    """Tries every method on a pair and a few batches.

    Neither weights nor files change.

    Args:
        cfg (Config): The student's config, with its training data.
        pair (Pair): The networks.
        num_batches (int): Batches to measure. Defaults to 2.
        steps (int): Steps to time. Defaults to 3.

    Raises:
        ConfigError: If the config has no training data.
        DataError: If a file cannot be loaded.
    """

    def __init__(self,
                 cfg: Config,
                 pair: Pair,
                 num_batches: int = 2,
                 steps: int = 3) -> None:
        self.pair = pair
        self.steps = steps
        self.device = torch.device(get_device())
        seed = (cfg.get('randomness') or {}).get('seed') or 0
        set_random_seed(seed)
        self.batches = _read_batches(cfg, num_batches)
        student = pair.student
        if self.device.type == 'cpu':
            pair.student = student = revert_sync_batchnorm(student)
        try:
            student.init_weights()
        except Exception as error:  # weights that would be downloaded
            print_log(
                'the initial weights of the student cannot be had, so random '
                f'ones are measured ({type(error).__name__}: {error})',
                'current')
        #: Task loss of each teacher on real (``loss``) and on ``blank`` data
        #: by name, and whether it is ``ok``.
        self.teachers: Dict[str, dict] = {}
        self.student: StepCost = self._cost(
            [copy.deepcopy(student).to(self.device).train()])[0]

    def advise(self, fit: Fit) -> Advice:
        """Measure a method.

        Args:
            fit (Fit): The method, from :meth:`Pair.fit`.
        """
        if fit.reason:
            return Advice(fit.method, fit.options, fit.reason)
        model = self.pair.build(fit.method, fit.options)
        distiller = model.distillers[fit.method.lower()]
        distiller.init_weights()
        # A copy, as statistics of batches change.
        model = copy.deepcopy(model).to(self.device).train()
        if not self.teachers:
            self._check_teachers(model)
        try:
            with preserve_rng(), error_context('it does not run'):
                found = [
                    method for data in self.batches
                    for method in measure_gradients(model, copy.deepcopy(data))
                ]
                alone, own = self._cost([model.student, model])
        except MMKDError as error:
            return Advice(fit.method, fit.options, str(error))
        gradients = [m.gradient for m in found if m.gradient is not None]
        weights = [
            m.balanced_weight for m in found if m.balanced_weight is not None
        ]
        specs, _ = model.taps.specs_of(fit.method.lower())
        return Advice(
            fit.method,
            fit.options,
            levels=sum(map(len, specs.values())),
            parameters=sum(p.numel() for p in distiller.parameters()),
            time=own.seconds / alone.seconds,
            memory=own.megabytes / alone.megabytes,
            gradient=statistics.median(gradients) if gradients else None,
            loss_weight=statistics.median(weights) if weights else None)

    def _check_teachers(self, model: DistillationModel) -> None:
        hook = SelfCheckHook()
        with preserve_rng(), quiet_log():
            hook.check_teachers(model, copy.deepcopy(self.batches))
        self.teachers = {
            name: hook.report[f'teacher {name}']
            for name in model.teachers if f'teacher {name}' in hook.report
        }

    def _cost(self, models: List[nn.Module]) -> List[StepCost]:
        """Cost of each model's step; the steps are timed in turn."""
        memory = [self._memory(model) for model in models]
        seconds: List[List[float]] = [[] for _ in models]
        for i in range(self.steps):
            data = self.batches[i % len(self.batches)]
            for model, times in zip(models, seconds):
                begin = time.perf_counter()
                self._step(model, data)
                times.append(time.perf_counter() - begin)
        return [
            StepCost(statistics.median(times), megabytes)
            for times, megabytes in zip(seconds, memory)
        ]

    def _step(self, model: Any, data: dict) -> None:
        data = copy.deepcopy(data)
        if isinstance(model, DistillationModel):
            step = model.planner.peak()
            batch = model.prepare_batch(data, step.teachers)
            losses = model(**batch, mode='loss', step=step)
        else:
            batch = model.data_preprocessor(data, True)
            losses = model(**batch, mode='loss')
        total_loss(losses).backward()
        model.zero_grad(set_to_none=True)
        if self.device.type == 'cuda':
            torch.cuda.synchronize()

    def _memory(self, model: nn.Module) -> float:
        """Memory of a step in megabytes; the step also warms the model up."""
        if self.device.type == 'cuda':
            self._step(model, self.batches[0])
            torch.cuda.reset_peak_memory_stats()
            self._step(model, self.batches[0])
            return torch.cuda.max_memory_allocated() / 1e6
        parameters = {
            p.untyped_storage().data_ptr()
            for p in model.parameters()
        }
        kept: Dict[int, int] = {}

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in parameters:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            self._step(model, self.batches[0])
        return sum(kept.values()) / 1e6


def _read_batches(cfg: Config, count: int) -> List[dict]:
    """The first training batches, read in this process."""
    loader = cfg.get('train_dataloader')
    if not loader:
        raise ConfigError('the config of the student has no '
                          '`train_dataloader`; the methods are measured on '
                          'its batches')
    loader = copy.deepcopy(loader)
    loader.update(num_workers=0, persistent_workers=False)
    loader.pop('prefetch_factor', None)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        built = NamingRunner.build_dataloader(loader, seed=0)
        with error_context('the training data cannot be loaded'):
            return list(islice(built, count))


def as_dicts(advices: List[Advice]) -> List[Dict[str, Any]]:
    """Plain data, for a file."""
    return [asdict(advice) for advice in advices]


def as_rows(advices: List[Advice]) -> Tuple[List[str], List[List[str]]]:
    """Heads and rows of a table of the methods that serve the pair."""
    heads = [
        'method', 'levels', 'parameters', 'time', 'memory', 'gradient',
        'loss_weight'
    ]
    rows = [[
        ' '.join([
            advice.method.lower(), *(f'{key}={value}'
                                     for key, value in advice.options.items())
        ]), f'{advice.levels}', f'{advice.parameters:,}', f'{advice.time:.2f}',
        f'{advice.memory:.2f}',
        'none' if advice.gradient is None else f'{advice.gradient:.3g}',
        '' if advice.loss_weight is None else f'{advice.loss_weight:.2g}'
    ] for advice in advices if not advice.reason]
    return heads, rows
