"""Models of timm as teachers."""
import sys
from typing import Any, Dict, Optional, Sequence, Union

from torch import Tensor

from mmkd.errors import CheckpointError, ConfigError
from mmkd.families.foundation.network import (Card, Features,
                                              FoundationNetwork, Size,
                                              patch_size, read_levels)
from mmkd.registry import MODELS
from mmkd.utils.foundation import unknown_timm_model
from mmkd.utils.imports import optional_package


@MODELS.register_module()
class TimmNetwork(FoundationNetwork):
    """A model of timm, without its classifier; downloads nothing.

    Args:
        name (str): Name of the model, such as
            ``'vit_small_patch14_dinov2.lvd142m'``. What follows the dot
            only chooses the card, and what ``ckpt='official'`` downloads.
        levels (int | Sequence[int]): Blocks of a transformer or stages of a
            pyramid to show, from 0; negative from the end. Defaults to -1.
        norm (str): ``'final'`` normalises every level of a plain transformer
            by its last normalisation, as DINOv2 does; ``'none'`` none.
            Defaults to ``'final'``.
        size (str | dict | Sequence[int]): See :class:`FoundationNetwork`.
        mean (Sequence[float], optional): In place of the card's. Defaults to
            None.
        std (Sequence[float], optional): Likewise. Defaults to None.

    Raises:
        ConfigError: If timm is missing, has no such model, or cannot show its
            levels.
    """

    def __init__(self,
                 name: str,
                 levels: Union[int, Sequence[int]] = -1,
                 norm: str = 'final',
                 size: Size = 'nearest',
                 mean: Optional[Sequence[float]] = None,
                 std: Optional[Sequence[float]] = None) -> None:
        timm = optional_package('timm', f'the teacher timm::{name}')
        if norm not in ('final', 'none'):
            raise ConfigError(f"timm::{name}: norm is 'final' or 'none', not "
                              f'{norm!r}')
        model = _create(timm, name)
        config = model.pretrained_cfg
        card = Card(f'timm::{name}', mean or config['mean'], std
                    or config['std'],
                    config.get('license') or '')
        embed: Any = getattr(model, 'patch_embed', None)
        isotropic = hasattr(model, 'num_prefix_tokens')
        patch = patch_size(embed.patch_size) if isotropic else (1, 1)
        fixed = getattr(embed, 'strict_img_size', False)
        if size == 'nearest' and fixed and embed.img_size:
            size = tuple(embed.img_size)
        stages = model.feature_info
        chosen = read_levels(levels, len(stages), card.name)
        stride = int(stages[chosen[-1]]['reduction'])
        super().__init__(model, card, patch, size, patch if isotropic else
                         (stride, stride))
        self.levels = chosen
        self.norm = norm == 'final' and isotropic

    def features(self, images: Tensor) -> Features:
        """See the base class."""
        model: Any = self.model
        whole = self.wants_summary
        final, maps = model.forward_intermediates(
            images, indices=self.levels, norm=self.norm, stop_early=not whole)
        if not whole:
            return maps, None
        if getattr(model, 'cls_token', None) is not None:
            return maps, final[:, 0]
        return maps, model.forward_head(final, pre_logits=True)

    def own_weights(self, state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """Also those of the model's first release, as timm converts them."""
        module = sys.modules[type(self.model).__module__]
        convert = getattr(module, 'checkpoint_filter_fn', None)
        if convert is not None:
            try:
                state_dict = convert(dict(state_dict), self.model)
            except Exception as error:
                raise CheckpointError(
                    f'timm cannot read these weights for {self.card.name}: '
                    f'{type(error).__name__}: {str(error)[:120]}; are they of '
                    'another model?') from error
        return super().own_weights(state_dict)


def _create(timm: Any, name: str) -> Any:
    """Build a model, for images of any size if it can."""
    model = None
    for options in (dict(dynamic_img_size=True), {}):
        try:
            model = timm.create_model(
                name, pretrained=False, num_classes=0, **options)
            break
        except TypeError:  # the model has no such option
            continue
        except (RuntimeError, ValueError) as error:
            raise unknown_timm_model(timm, name) from error
    if model is None or not hasattr(model, 'forward_intermediates'):
        raise ConfigError(f'timm::{name} cannot show its levels (it has no '
                          '`forward_intermediates`); choose another model')
    return model
