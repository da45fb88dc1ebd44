"""A loss weight that holds a module's share of the gradients (GAM)."""
from typing import Iterable, List, Optional, Sequence

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from mmkd.errors import ConfigError


class GradientShare(nn.Module):
    """The gradient-guided adaptive modulation of `RT-DETRv4
    <https://arxiv.org/abs/2510.25257>`_.

    Over each epoch, let p be the L1 norm of the gradients of a module of the
    student, in percent of that of all gradients. If p has left
    [share - margin, share + margin], the weight changes such that p would
    reach the far end q of that range if only its own part of the gradients
    grew: it is multiplied by ``q (100 - p) / (p (100 - q))``, clipped to
    [0.1, 10]. An epoch without gradients of the module is followed by the
    default weight, and so are the last ones.

    All state is in buffers, so a run that is interrupted resumes exactly. The
    host waits for the device once an epoch, to log the result.
    :class:`~mmkd.engine.hooks.GradientShareHook` reads the gradients; mmkd's
    commands add it.

    The authors' values of ``initial``, ``share``, ``margin`` and ``default``
    for their sizes are 5, 11, 1, 20 (S); 5, 3.5, 0.25, 15 (M); 15, 2, 0.1, 15
    (L); and 20, 2, 0.25, 20 (X).

    Args:
        module (str, optional): Path of the module in the student. Defaults to
            None: the modules that the method taps.
        initial (float): The weight of the first epoch. Defaults to 5.0.
        share (float): Percentage to hold. Defaults to 11.0.
        margin (float): How far p may be from it, in percentage points.
            Defaults to 1.0.
        default (float): The weight where p says nothing. Defaults to 20.0.
        last_epochs (int): Number of epochs at the end with the default
            weight, such as those without augmentation. Defaults to 0.

    Raises:
        ConfigError: If an argument is out of its range.
    """
    sums: Tensor
    weight: Tensor

    def __init__(self,
                 module: Optional[str] = None,
                 initial: float = 5.,
                 share: float = 11.,
                 margin: float = 1.,
                 default: float = 20.,
                 last_epochs: int = 0) -> None:
        super().__init__()
        if not (0 < margin < share < 100 - margin and min(initial, default) > 0
                and last_epochs >= 0):
            raise ConfigError(
                "type='gam': initial and default are positive weights, and "
                'share - margin and share + margin percentages between 0 and '
                f'100, but got {initial}, {default}, {share} and {margin}')
        self.modules_read: List[str] = [] if module is None else [module]
        self.share, self.margin = share / 100, margin / 100
        self.default = default
        self.last_epochs = last_epochs
        #: Whether a hook reads the gradients.
        self.is_read = False
        self._passes = 0
        # L1 norms of the gradients of the module, and of all.
        self.register_buffer('sums', torch.zeros(2, dtype=torch.float64))
        self.register_buffer('weight', torch.tensor(float(initial)))

    def settle(self, student: nn.Module, tapped: Iterable[str]) -> None:
        """Find the module.

        Args:
            student (nn.Module): The student.
            tapped (Iterable[str]): Paths of the modules that are tapped.

        Raises:
            ConfigError: If there is no such module, or nothing in it trains.
        """
        self.modules_read = self.modules_read or sorted(set(tapped))
        for path in self.modules_read:
            try:
                module = student.get_submodule(path)
            except AttributeError:
                raise ConfigError(
                    "loss_weight with type='gam': the student has no module "
                    f'{path!r}') from None
            if not any(p.requires_grad for p in module.parameters()):
                raise ConfigError(
                    "loss_weight with type='gam': nothing trains in "
                    f'{path!r} of the student; name another `module`')

    def forward(self) -> Tensor:
        """The weight of this iteration, a scalar.

        Raises:
            ConfigError: If it is trained with, but nothing reads gradients.
        """
        if torch.is_grad_enabled() and not self.is_read:
            self._passes += 1
            if self._passes > 1:  # one alone may be the replay of a step
                raise ConfigError(
                    "loss_weight with type='gam' needs the hook that reads "
                    "the gradients; add dict(type='mmkd.GradientShareHook') "
                    "to `custom_hooks`, or train by mmkd's commands")
        return self.weight.clone()

    def add(self, own: Sequence[nn.Parameter],
            others: Sequence[nn.Parameter]) -> None:
        """Add the gradients of an iteration.

        Args:
            own (Sequence[nn.Parameter]): Parameters of the module.
            others (Sequence[nn.Parameter]): All others.
        """
        norms = [
            get_total_norm([p.grad for p in part if p.grad is not None],
                           1.).to(self.sums) for part in (own, others)
        ]
        found = torch.stack([norms[0], norms[0] + norms[1]])
        # An overflow under mixed precision is no step.
        self.sums += torch.where(found.isfinite().all(), found, 0.)

    def end_epoch(self, last: bool) -> Tensor:
        """Update the weight, equally in all processes.

        Args:
            last (bool): Whether one of the last epochs follows.

        Returns:
            Tensor: p in percent, a scalar.
        """
        all_reduce(self.sums)
        part = self.sums[0] / self.sums[1]
        below = part < self.share
        aim = torch.where(below, self.share + self.margin,
                          self.share - self.margin)
        factor = (aim * (1 - part) / (part * (1 - aim))).clamp(0.1, 10)
        weight = torch.where((part - self.share).abs() <= self.margin,
                             self.weight, self.weight * factor)
        silent = ~(part >= 1e-8)  # also if there was no gradient at all
        self.weight.copy_(
            torch.where(silent | last, self.default, weight).to(self.weight))
        self.sums.zero_()
        return 100 * part
