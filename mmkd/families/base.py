"""The interface of a family of networks, and the list of families."""
import inspect
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

import torch
from torch import Tensor, nn

from mmkd.errors import ConfigError

Batch = Dict[str, Any]


class Place(NamedTuple):
    """A standard place of a family's networks.

    Attributes:
        description (str): A short description of its tensors.
        find (Callable): Maps a network to its taps of this place; returns an
            empty list if the network lacks the place.
    """
    description: str
    find: Callable[[nn.Module], list]


class Family:
    """The conventions of one library's networks; holds no network.

    Attributes:
        name (str): Package that defines the networks, such as ``'mmseg'``.
        prefixes (tuple[str, ...]): Prefixes of ``backbone`` and ``neck`` in
            module names; the first one found is used.
        predicts_on_images (bool): Whether mode ``'predict'`` returns
            ``pred_sem_seg`` or ``pred_instances`` in the image.
        places (dict[str, Place]): Standard places by name. If several are in
            one module, lists show the last one.
    """
    name = ''
    prefixes: Tuple[str, ...] = ('', )
    predicts_on_images = False

    def __init__(self) -> None:
        self.places: Dict[str, Place] = {
            'maps':
            Place(
                'class scores of a segmentation head, or else levels of the '
                'neck', lambda x: _logits(x) or self._neck(x)),
            'features':
            Place(
                'levels of the neck that have a convolution of their own, or '
                'else the last stage of the backbone', self._features),
            'logits':
            Place('class scores of the deciding segmentation head', _logits),
            'stages':
            Place('outputs of the backbone', self._stages),
            'neck':
            Place('levels of the neck', self._neck),
            'embeddings':
            Place('tokens that enter each stage of a transformer pyramid',
                  self._embeddings),
            'patches':
            Place(
                'what its patch convolutions are given: the image, then the '
                'output of each stage', self._patches),
        }

    def matches(self, network: nn.Module) -> bool:
        """Whether a network belongs to the family: by default, whether its
        class or one of its bases is defined in the package :attr:`name`."""
        return any(
            cls.__module__.split('.')[0] == self.name
            for cls in type(network).__mro__)

    def example_batch(self, network: nn.Module, size: Tuple[int,
                                                            int]) -> Batch:
        """A synthetic batch of one frame, as the preprocessor returns it.

        Args:
            network (nn.Module): A network of the family.
            size (tuple[int, int]): Height and width in pixels of the image.

        Returns:
            dict: ``inputs`` and ``data_samples``, the latter with ground
            truth; here, an image (1, C, H, W) and None.

        Raises:
            ConfigError: If the family has no example for this network.
        """
        device = next(network.parameters(), torch.zeros(())).device
        image = torch.zeros((1, image_channels(network), *size), device=device)
        return dict(inputs=image, data_samples=None)

    def frozen_mode(self, network: nn.Module, mode: str = 'tensor') -> str:
        """The mode of ``forward`` for a network that is not trained.

        Returns:
            str: ``mode``, or ``'predict'`` for a network that lacks the mode
            ``'tensor'``: ``_forward`` of mmdet3d's ``MVXTwoStageDetector``
            is an empty method that takes no data.
        """
        plain = getattr(network, '_forward', None)
        lacking = plain and not inspect.signature(plain).parameters
        return 'predict' if lacking and mode == 'tensor' else mode

    def trial_modes(self,
                    network: nn.Module,
                    mode: str = 'tensor') -> Tuple[str, ...]:
        """The modes to try in a dry run of a network that is not trained."""
        found = self.frozen_mode(network, mode)
        # Prediction with an untrained network is slow, as it suppresses
        # boxes by the thousand; a step ends at the last tap.
        return (mode, ) if found == mode else ('loss', found)

    def _part(self, network: nn.Module, name: str) -> List[str]:
        for prefix in self.prefixes:
            if isinstance(
                    getattr(network, f'{prefix}{name}', None), nn.Module):
                return [f'{prefix}{name}']
        return []

    def _stages(self, network: nn.Module) -> List[str]:
        return self._part(network, 'backbone')

    def _neck(self, network: nn.Module) -> List[str]:
        return self._part(network, 'neck')

    def _features(self, network: nn.Module) -> List[str]:
        for name in self._neck(network):
            neck = getattr(network, name)
            # A level beyond the convolutions of a pyramid is pooled from the #
            # last one and adds no information.
            convs = getattr(neck, 'fpn_convs', None)
            pooled = isinstance(convs,
                                nn.ModuleList) and 0 < len(convs) < getattr(
                                    neck, 'num_outs', 0)
            return [f'{name}[0:{len(convs)}]' if pooled else name]
        return [f'{name}[-1]' for name in self._stages(network)]

    def _patch_embeds(self, network: nn.Module) -> List[str]:
        """The patch embedding of each stage of a hierarchical transformer.

        It supports backbones structured like mmseg's ``MixVisionTransformer``
        and mmdet's ``PyramidVisionTransformerV2``, whose stages begin with a
        ``PatchEmbed``.
        """
        for name in self._stages(network):
            stages = getattr(getattr(network, name), 'layers', None)
            if isinstance(stages, nn.ModuleList) and all(
                    isinstance(stage, nn.ModuleList) and len(stage)
                    and isinstance(
                        getattr(stage[0], 'projection', None), nn.Conv2d)
                    for stage in stages):
                return [f'{name}.layers.{i}.0' for i in range(len(stages))]
        return []

    def _embeddings(self, network: nn.Module) -> List[str]:
        # They return the tokens and the size of their map.
        return [f'{path}[0]' for path in self._patch_embeds(network)]

    def _patches(self, network: nn.Module) -> List[str]:
        return [
            f'{path}.projection@input' for path in self._patch_embeds(network)
        ]


def _logits(network: nn.Module) -> List[str]:
    head = getattr(network, 'decode_head', None)
    if isinstance(head, nn.ModuleList):  # a cascade: the last head decides
        last = len(head) - 1
        return [f'decode_head.{last}.conv_seg'] if hasattr(
            head[last], 'conv_seg') else []
    return ['decode_head.conv_seg'] if hasattr(head, 'conv_seg') else []


def image_channels(network: nn.Module) -> int:
    """Number of channels of a network's input images."""
    mean = getattr(getattr(network, 'data_preprocessor', None), 'mean', None)
    if isinstance(mean, Tensor) and mean.numel() > 1:
        return mean.numel()
    first = next(
        (module.in_channels
         for module in network.modules() if isinstance(module, nn.Conv2d)), 3)
    # A stem that stacks the pixels of a patch has a multiple of three
    # channels.
    return first if first % 3 else 3


def image_meta(size: Tuple[int, int]) -> dict:
    """Meta information of a synthetic image.

    Args:
        size (tuple[int, int]): Height and width in pixels.
    """
    return dict(
        img_shape=size,
        ori_shape=size,
        pad_shape=size,
        batch_input_shape=size,
        scale_factor=(1.0, 1.0),
        flip=False,
        img_id=0,
        img_path='')


#: In order of precedence: the first match is used.
FAMILIES: List[Family] = []


def register_family(family: type) -> type:
    """Register a family, with precedence over those registered before.

    It replaces a family of the same name. Use it as a decorator.

    Args:
        family (type): A subclass of :class:`Family`.

    Raises:
        ConfigError: If it has no name.
    """
    if not family.name:
        raise ConfigError(f'the family {family.__name__} needs a `name`')
    kept = [x for x in FAMILIES if x.name != family.name]
    FAMILIES[:] = [family(), *kept]
    return family
