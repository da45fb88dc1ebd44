"""Options of TransKD."""
from dataclasses import dataclass
from typing import Literal, Optional, Sequence

from mmkd.core.logits import check_tau
from mmkd.errors import ConfigError
from mmkd.utils.arguments import check_choices, check_in_use


@dataclass(frozen=True)
class TransKDOptions:
    """Options of TransKD's modules and losses.

    Args:
        variant: Modules in addition to the fusion and the alignment. Defaults
            to ``'base'``: none.
        embedding_weights: Weight of each stage's embedding loss, alpha in
            the paper; 0 leaves a stage out.
        feature_weights: Weight of each stage's feature loss. Defaults to
            None: 1 for all.
        feature_loss: ``'hcl'``; ``'cwd'`` for
            :func:`channel_wise_divergence`; or ``'pixel_kl'`` for
            :func:`kl_divergence` over the channels of each cell.
        feature_tau: Temperature of the latter two.
        logits_tau: Temperature of ``logits``.
        mid_channels: Width of the fusion.
        squeeze_norm: Normalisation of the pooled vector in the fusion.
            ``'GN'`` is better for one or two images per device, where batch
            statistics carry little information.
        single_image_conv: Whether batches of one image have a separate
            squeezing convolution, as in the released code.
        gl_heads: Heads of the GL-Mixer's attention. Defaults to None: those
            of the student's last stage.
        gl_init: Initial weights of its global and its local branch.
        gl_residual: Whether it adds its input.
        ea_aligned_init: Initial weight of each stage's aligned tokens.
        ea_own_init: Initial weight of each stage's assistant.

    Raises:
        ConfigError: If a value is invalid.
    """
    variant: Literal['base', 'gl', 'ea'] = 'base'
    embedding_weights: Sequence[float] = (0.1, 0.1, 0.5, 1.0)
    feature_weights: Optional[Sequence[float]] = None
    feature_loss: Literal['hcl', 'cwd', 'pixel_kl'] = 'hcl'
    feature_tau: float = 1.0
    logits_tau: float = 1.0
    mid_channels: int = 64
    squeeze_norm: Literal['BN', 'GN', None] = 'BN'
    single_image_conv: bool = False
    gl_heads: Optional[int] = None
    gl_init: Sequence[float] = (0.5, 0.5)
    gl_residual: bool = False
    ea_aligned_init: Sequence[float] = (0.1, 0.2, 0.3, 0.4)
    ea_own_init: Sequence[float] = (0.5, 0.6, 0.7, 0.8)

    def __post_init__(self) -> None:
        check_choices('TransKD', type(self), **vars(self))
        for name in ('embedding_weights', 'feature_weights', 'gl_init',
                     'ea_aligned_init', 'ea_own_init'):
            _check_numbers(name, getattr(self, name))
        for name in ('embedding_weights', 'feature_weights'):
            values = getattr(self, name)
            if values is not None and min(values) < 0:
                raise ConfigError(f'TransKD: {name} must be at least 0, but '
                                  f'got {values}')
        if len(self.gl_init) != 2:
            raise ConfigError(
                'TransKD: gl_init is two numbers, of the global and the '
                f'local branch, not {self.gl_init}')
        check_tau(
            'TransKD',
            feature_tau=self.feature_tau,
            logits_tau=self.logits_tau)
        for variant in ('gl', 'ea'):
            if self.variant != variant:
                check_in_use('TransKD', self, [
                    name
                    for name in vars(self) if name.startswith(f'{variant}_')
                ], f'variant={self.variant!r}', f'variant={variant!r}')
        if self.feature_loss == 'hcl':
            check_in_use('TransKD', self, ('feature_tau', ),
                         "feature_loss='hcl'",
                         "feature_loss='cwd' or 'pixel_kl'")


def _check_numbers(name: str, values: Optional[Sequence[float]]) -> None:
    if values is not None and not (isinstance(values, (list, tuple)) and values
                                   and all(
                                       isinstance(value, (int, float))
                                       for value in values)):
        raise ConfigError(f'TransKD: {name} is a list of numbers, but got '
                          f'{values!r}')
