"""Loss weights that are calibrated by gradients."""
import math
from typing import (Any, Dict, List, Literal, Mapping, NamedTuple, Optional,
                    Sequence, Tuple, Union)

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge

from mmkd.core.gradient_share import GradientShare
from mmkd.core.schedule import WeightLike, WeightSchedule, build_weight
from mmkd.core.terms import total_loss
from mmkd.errors import ConfigError
from mmkd.utils.arguments import check_types

#: A number, a schedule, ``'auto'``, or a dict with ``type='auto'`` or
#: ``'gam'``.
LossWeightLike = Union[WeightLike, Literal['auto']]

#: Keeps gradients in float16 from underflowing; it cancels in the ratio.
_HALF_SCALE = 1024.


class CheckpointedError(ConfigError):
    """A gradient cannot be measured, since it passes through layers with
    reentrant activation checkpointing."""

    def __init__(self) -> None:
        super().__init__(
            'torch computes no gradients at taps through layers with '
            'activation checkpointing; set with_cp=False in the student')


class GradientBalance(nn.Module):
    """A loss weight that makes two gradients equally large.

    Let ``g(L)`` be the L2 norm of the gradient of a loss at the student's
    taps of one method, averaged over the processes. Every ``interval``
    iterations, for the first ``iters`` ones in which the method is active,

    ``r = ln g(task) - ln g(method)``, ``m = 0.95 m + 0.05 r``,
    ``weight = ratio * exp(m / (1 - 0.95^t))``,

    where ``t`` counts the measurements. The weight is clipped to [1e-6, 1e6]
    and held from then on. A measurement in which a gradient is below 1e-12
    or not finite is skipped. Without labels, the geometric mean of ``g`` over
    all methods with automatic weights takes the place of ``g(task)``. All
    state is in buffers, so a run that is interrupted resumes exactly, and the
    host never waits for the device.

    With ``mode='track'``, measurements go on every 50 iterations, and the
    weight stays within a tenth and ten times the calibrated one (the first
    valid one, if the calibration had none): as the loss of a method
    converges, its gradient shrinks, and the weight would grow without end.

    Args:
        ratio (float, optional): Norm of the method's gradient after
            weighting, as a multiple of the task loss's. By default, that of
            the student's family (:meth:`settle`), or else 1.
        iters (int): Iterations of the calibration. Defaults to 200, which is
            not tuned.
        interval (int): Iterations from one measurement to the next. Defaults
            to 5.
        mode (str): ``'calibrate'`` or ``'track'``. Defaults to
            ``'calibrate'``.

    Raises:
        ConfigError: If an argument is out of its range.
    """
    momentum = 0.95
    track_interval = 50
    calibrated: Tensor
    steps: Tensor
    count: Tensor
    log_ratio: Tensor
    weight: Tensor

    def __init__(self,
                 ratio: Optional[float] = None,
                 iters: int = 200,
                 interval: int = 5,
                 mode: Literal['calibrate', 'track'] = 'calibrate') -> None:
        super().__init__()
        if ratio is not None and (isinstance(ratio, bool)
                                  or not isinstance(ratio, (int, float))
                                  or not 0 < ratio < math.inf):
            raise ConfigError('ratio is a positive number, but got '
                              f'{ratio!r}')
        for name, value in dict(iters=iters, interval=interval).items():
            if isinstance(value,
                          bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f'{name} is a number of iterations of at '
                                  f'least 1, but got {value!r}')
        self.ratio = ratio
        self.tracks = mode == 'track'
        self.iters = iters
        self.interval = interval
        self.register_buffer('steps', torch.zeros((), dtype=torch.long))
        self.register_buffer('count', torch.zeros(()))
        self.register_buffer('log_ratio', torch.zeros(()))
        self.register_buffer('weight', torch.ones(()))
        if self.tracks:
            # 0: not yet.
            self.register_buffer('calibrated', torch.zeros(()))
        # The value of `steps`, which the host knows without waiting.
        self._steps = 0

    def settle(self, ratio: float) -> None:
        """Give the ratio to use if none was asked for."""
        if self.ratio is None:
            self.ratio = ratio

    def is_due(self) -> bool:
        """Whether this iteration is measured."""
        interval = self.interval if self._calibrates else self.track_interval
        return (self._moves and self._steps % interval == 0
                and torch.is_grad_enabled())

    @property
    def _calibrates(self) -> bool:
        return self._steps < self.iters

    @property
    def _moves(self) -> bool:
        """Whether the weight may still change."""
        return self.tracks or self._calibrates

    def forward(self) -> Tensor:
        """The weight of this iteration, a scalar; ends the iteration."""
        if self._moves and torch.is_grad_enabled():
            self._steps += 1
            self.steps += 1
        # A copy: backward still needs it if a next step changes the buffer.
        return self.weight.clone()

    def update(self, ratio: Tensor) -> None:
        """Update the weight by a measurement.

        Args:
            ratio (Tensor): ``r``, a scalar; skipped if it is not finite.
        """
        valid = torch.isfinite(ratio)
        self.count += valid
        # The mean with its bias corrected, in increments.
        share = (1 - self.momentum) / -torch.expm1(
            self.count * math.log(self.momentum))
        change = share * (ratio - self.log_ratio)
        self.log_ratio += torch.where(valid, change, torch.zeros_like(change))
        factor = 1. if self.ratio is None else self.ratio
        weight = (factor * self.log_ratio.exp()).clamp(1e-6, 1e6)
        if self.tracks:
            sets = valid & (self._calibrates | (self.calibrated == 0))
            self.calibrated.copy_(torch.where(sets, weight, self.calibrated))
            weight = weight.clamp(self.calibrated / 10, self.calibrated * 10)
        self.weight.copy_(torch.where(valid, weight, self.weight))

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args:
                              Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._steps = int(self.steps)


class Measured(NamedTuple):
    """An active method with an automatic weight.

    Attributes:
        balance (GradientBalance): The weight.
        loss (Tensor): Sum of its terms without this weight, a scalar.
        taps (list[Tensor]): The student's tapped tensors.
    """
    balance: GradientBalance
    loss: Tensor
    taps: List[Tensor]


def calibrate(methods: Mapping[str, Measured],
              task_losses: Mapping[str, Any]) -> None:
    """Measure the gradients that are due, and update automatic weights.

    Args:
        methods (Mapping[str, Measured]): All active methods that have
            automatic weights, by name.
        task_losses (Mapping[str, Tensor]): The student's losses by name; if
            there are none, methods are compared with each other.

    Raises:
        ConfigError: If no gradient of a loss reaches the taps, or if it
            cannot be measured.
    """
    due = {
        name: found
        for name, found in methods.items() if found.balance.is_due()
    }
    if due and task_losses:
        task = total_loss(task_losses)
        for name, found in due.items():
            logs = _log_norms([
                _norm(name, 'task loss', task, found.taps),
                _norm(name, 'method', found.loss, found.taps)
            ])
            found.balance.update(logs[0] - logs[1])
    elif due:
        logs = _log_norms([
            _norm(name, 'method', found.loss, found.taps)
            for name, found in methods.items()
        ])
        for own, (name, found) in zip(logs, methods.items()):
            if name in due:
                found.balance.update(logs.mean() - own)


def _norm(name: str, what: str, loss: Tensor, taps: List[Tensor]) -> Tensor:
    try:
        norm = gradient_norm(loss, taps)
    except CheckpointedError as error:
        raise ConfigError(f"{name}: loss_weight='auto': {error}, or give a "
                          'number instead') from None
    if norm is None:
        raise ConfigError(
            f"{name}: loss_weight='auto': no gradient of the {what} reaches "
            'the taps; give a number instead')
    return norm


def gradient_shares(losses: Mapping[str, Tensor],
                    taps: List[Tensor]) -> Dict[str, Tensor]:
    """How much each loss contributes to the gradients at some tensors.

    Args:
        losses (Mapping[str, Tensor]): Weighted losses, scalars, by name.
        taps (list[Tensor]): The tensors.

    Returns:
        dict[str, Tensor]: The L2 norm of the gradient of each, averaged over
        the processes, divided by the sum of all norms; by name.

    Raises:
        CheckpointedError: If they cannot be measured.
    """
    found = [gradient_norm(loss, taps) for loss in losses.values()]
    norms = torch.stack([
        loss.detach().new_zeros(
            (), dtype=torch.float32) if norm is None else norm
        for norm, loss in zip(found, losses.values())
    ])
    all_reduce(norms, 'mean')
    return dict(zip(losses, norms / norms.sum().clamp(min=1e-12)))


def _log_norms(norms: List[Tensor]) -> Tensor:
    """Logarithms of the means of norms over the processes; infinite for one
    that is below 1e-12."""
    means = torch.stack(norms).detach()
    all_reduce(means, 'mean')
    return torch.where(means >= 1e-12, means, 0.).log()


def gradient_norm(loss: Tensor, tensors: List[Tensor]) -> Optional[Tensor]:
    """L2 norm of the gradient of a loss at intermediate tensors.

    The graph is kept. In half precision, the norm is scaled by a constant.

    Args:
        loss (Tensor): A scalar.
        tensors (list[Tensor]): Tensors in its graph; those without gradient
            are left out.

    Returns:
        Tensor | None: The norm over all tensors, a scalar in float32; None
        if no gradient reaches one of them.

    Raises:
        CheckpointedError: If it cannot be measured.
    """
    places: Sequence[Any] = [
        _origin(tensor) for tensor in tensors if tensor.requires_grad
    ]
    if not places or not loss.requires_grad:
        return None
    half = any(tensor.dtype == torch.float16 for tensor in tensors)
    # As in the backward pass of training.
    with torch.autocast(loss.device.type, enabled=False):
        try:
            gradients = torch.autograd.grad(
                loss,
                places,
                torch.full_like(loss, _HALF_SCALE if half else 1.),
                retain_graph=True,
                allow_unused=True)
        except RuntimeError as error:
            if 'checkpoint' in str(error).lower():
                raise CheckpointedError from error
            raise
    norms = [g.float().norm() for g in gradients if g is not None]
    return torch.stack(norms).norm() if norms else None


def _origin(tensor: Tensor) -> Union[Tensor, GradientEdge]:
    """Where the gradients of all readers of a tapped tensor meet: for a tap
    that copies, the tensor before it was copied."""
    made_by = tensor.grad_fn
    if made_by is None or made_by.name() != 'CloneBackward0':
        return tensor
    node, index = made_by.next_functions[0]
    return tensor if node is None else GradientEdge(node, index)


#: What finds a weight, by the ``type`` of a config, with its options there.
_AUTOMATIC: Dict[str, Tuple[Any, Tuple[str, ...]]] = dict(
    auto=(GradientBalance, ('ratio', 'iters', 'interval', 'mode')),
    gam=(GradientShare, ('module', 'initial', 'share', 'margin', 'default',
                         'last_epochs')))


def read_loss_weight(
    weight: LossWeightLike
) -> Tuple[WeightSchedule, Union[GradientBalance, GradientShare, None]]:
    """Read the weight of a whole method.

    Args:
        weight (float | str | dict | WeightSchedule): A number, a schedule,
            ``'auto'``, or the arguments of :class:`GradientBalance` with
            ``type='auto'``, or of
            :class:`~mmkd.core.gradient_share.GradientShare` with
            ``type='gam'``, and those of a schedule, whose value is 1 and
            which multiplies the automatic weight.

    Returns:
        tuple: The schedule, and what finds the weight, or None.

    Raises:
        ConfigError: If an argument is unknown or out of its range.
    """
    if isinstance(weight, str):
        if weight != 'auto':
            raise ConfigError("a loss weight is a number, 'auto' or a "
                              f'schedule, but got {weight!r}')
        weight = dict(type='auto')
    kind = weight.get('type') if isinstance(weight, dict) else None
    if not isinstance(weight, dict) or kind not in _AUTOMATIC:
        return build_weight(weight), None
    cls, own = _AUTOMATIC[kind]
    if 'value' in weight:
        raise ConfigError(
            f'type={kind!r} finds the value; its options are '
            f'{", ".join(own)}, and those of a schedule but `value`')
    options = {key: weight[key] for key in own if key in weight}
    schedule = {
        key: value
        for key, value in weight.items() if key not in (*own, 'type')
    }
    check_types(cls, options, f'loss_weight with type={kind!r}')
    return build_weight(schedule), cls(**options)
