"""The interface of a family of networks, and the list of families."""
import copy
import inspect
from typing import Any, Dict, List, NamedTuple, Optional, Tuple, Type, Union

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.families.classes import head_classes, pixel_labels
from mmkd.families.dense_heads import DenseHead, wrap_dense_head
from mmkd.families.detection_heads import DetectionHead
from mmkd.families.preprocessing import (ImageNorm, read_image_norm,
                                         read_settings)
from mmkd.families.taps import KnownTap, Place

Batch = Dict[str, Any]


class ImagePrediction(NamedTuple):
    """What a network predicts for an image.

    Attributes:
        labels (Tensor, optional): Class of each pixel, (H, W).
        instances (InstanceData, optional): ``bboxes`` (n, 4) in pixels,
            ``labels`` and ``scores`` of the objects.
    """
    labels: Optional[Tensor] = None
    instances: Optional[InstanceData] = None


class Family:
    """The conventions of one library's networks; holds no network.

    Attributes:
        name (str): Package that defines the networks, as ``'mmseg'``.
        prefixes (tuple[str, ...]): What may precede ``backbone`` and
            ``neck`` in the name of a part; the first one found is taken.
        places (dict[str, Place]): Standard places by name. Of several that
            have the same tap, the last one says what it is.
        visualizer (str): The library's visualizer.
        packing (str): The library's transform that packs an image.
        auto_ratio (float): The ratio of gradients that
            ``loss_weight='auto'`` aims at (docs/results/weights.md).
    """
    name = ''
    visualizer = ''
    packing = ''
    auto_ratio = 1.
    prefixes: Tuple[str, ...] = ('', )

    def __init__(self) -> None:
        self.places: Dict[str, Place] = {
            'summary':
            Place('what it says of the whole image, or else its last stage',
                  self._last_stage),
            'maps':
            Place(
                'class scores of a segmentation head, or else levels of the '
                'neck',
                lambda x: self.taps(x, 'logits') or self.taps(x, 'neck')),
            'features':
            Place(
                'levels of the neck that have a convolution of their own, or '
                'else the last stage of the backbone', self._features),
            'auxiliary_logits':
            Place('class scores of the other segmentation heads',
                  _auxiliary_logits),
            'logits':
            Place('class scores of the deciding segmentation head', _logits),
            'classifier_input':
            Place('input of the segmentation classifier', _classifier_input),
            'stages':
            Place('outputs of the backbone', self._stages),
            'pyramid':
            Place(
                'the first four levels of the neck', lambda x:
                [KnownTap(f'{neck}[0:4]', 'neck') for neck in self._neck(x)]),
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
        """Whether its class or a base of it is of the package :attr:`name`."""
        return any(
            cls.__module__.split('.')[0] == self.name
            for cls in type(network).__mro__)

    def taps(self, network: nn.Module, place: str) -> List[KnownTap]:
        """The taps of a standard place in a network, none if it lacks it."""
        known = self.places.get(place)
        found = known.find(network) if known else ()
        taps = [
            tap if isinstance(tap, KnownTap) else KnownTap(tap, level=i)
            for i, tap in enumerate(found)
        ]
        return [tap if tap.kind else tap._replace(kind=place) for tap in taps]

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

    def preprocessor(self, network: nn.Module) -> Any:
        """The network's own data preprocessor, None if it has none."""
        return getattr(network, 'data_preprocessor', None)

    def preprocessing(self, network: nn.Module) -> Dict[str, Any]:
        """What the network's preprocessor does to a batch.

        Returns:
            dict: Equal for networks that can share a prepared batch.
        """
        return read_settings(self.preprocessor(network))

    def image_norm(self, network: nn.Module) -> Optional[ImageNorm]:
        """How the network wants its images.

        Returns:
            ImageNorm | None: None if its input is more than images, or is
            prepared in a way that is not known.
        """
        return read_image_norm(self.preprocessor(network))

    def traits(self, network: nn.Module) -> Dict[str, Any]:
        """What the network settles for the methods, by the names of their
        options (:meth:`mmkd.core.Distiller.settled_options`).

        Returns:
            dict: Here, empty. In the libraries' families: ``ignore_index``
            and ``num_classes`` of a segmentor; ``two_stage`` of a detector
            in images, and ``dense_head`` (its name) and ``head_convs`` (those
            of a branch) of a dense one; ``point_cloud_range``,
            ``voxel_size``, ``sensors`` and ``head`` (``'anchor'`` or
            ``'center'``) of a 3D detector.
        """
        return {}

    def augments_batches(self, network: nn.Module) -> bool:
        """Whether the network's preprocessor augments batches at random."""
        return bool(
            getattr(self.preprocessor(network), 'batch_augments', None))

    def label_padding(self, network: nn.Module) -> Optional[int]:
        """The label with which its preprocessor pads label maps."""
        preprocessor = self.preprocessor(network)
        return getattr(preprocessor, 'seg_pad_val',
                       getattr(preprocessor, 'seg_pad_value', None))

    def stop_augmenting(self, network: nn.Module) -> None:
        """Leave random batch augmentations out from now on."""
        if self.augments_batches(network):
            self.preprocessor(network).batch_augments = None

    def keep_sizes(self, network: nn.Module) -> None:
        """Do not pad training images beyond the largest one of a batch."""

    def detection_head(self,
                       network: nn.Module,
                       name: str = 'the network') -> DetectionHead:
        """The 3D detection head of a network, as far as methods use it.

        Args:
            network (nn.Module): A network of the family.
            name (str): What to call it in messages. Defaults to
                ``'the network'``.

        Raises:
            ConfigError: If it has no head of a known kind.
        """
        raise ConfigError(
            f'{name} ({type(network).__name__}) has no 3D detection head that '
            'is known; this method serves 3D detectors of mmdet3d')

    def dense_head(self,
                   network: nn.Module,
                   name: str = 'the network') -> DenseHead:
        """The dense 2D detection head of a network; otherwise as
        :meth:`detection_head`."""
        return wrap_dense_head(None, f'{name} ({type(network).__name__})')

    def head_classes(self, network: nn.Module) -> Dict[str, int]:
        """See :func:`~mmkd.families.classes.head_classes`."""
        return head_classes(network)

    def pixel_labels(self, network: nn.Module) -> Optional[int]:
        """See :func:`~mmkd.families.classes.pixel_labels`."""
        return pixel_labels(network)

    def describe(self, network: nn.Module) -> str:
        """The network in short, such as ``'RetinaNet (ResNet)'``."""
        backbone = getattr(network, 'backbone', None)
        name = type(network).__name__
        return name if backbone is None else (
            f'{name} ({type(backbone).__name__})')

    def predict_image(self, network: nn.Module, batch: Batch,
                      size: Tuple[int, int]) -> Optional[ImagePrediction]:
        """What the network predicts for the one image of a batch, to draw.

        Args:
            network (nn.Module): A network of the family, in eval mode.
            batch (dict): ``inputs`` and ``data_samples``, as prepared.
            size (tuple[int, int]): Height and width of the unpadded image.

        Returns:
            ImagePrediction | None: None if nothing can be drawn in the image.
        """
        return None

    def raw_outputs(self, network: nn.Module, images: Tensor,
                    samples: Any) -> Dict[str, Tensor]:
        """What a network computes before any post-processing, to export.

        Args:
            network (nn.Module): A network of the family, in eval mode.
            images (Tensor): Prepared images, (N, C, H, W).
            samples (list): Those of :meth:`example_batch` at this size.

        Returns:
            dict[str, Tensor]: The tensors by name.

        Raises:
            ConfigError: If the network cannot be exported.
        """
        raise ConfigError(
            f'{type(network).__name__} cannot be exported to ONNX; networks '
            'of mmseg and mmdet can (docs/deployment.md)')

    def notes(self, network: nn.Module) -> Optional[str]:
        """What the log says of a teacher at the start, in one line."""
        return None

    def origin(self, network: nn.Module) -> Dict[str, str]:
        """What the student's checkpoints record of it as a teacher."""
        return dict(network=self.describe(network))

    def own_weights(self, network: nn.Module,
                    state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """Weights of a file under the names that the network has.

        Raises:
            CheckpointError: If they are of another network.
        """
        return state_dict

    def _part(self, network: nn.Module, name: str) -> List[str]:
        for prefix in self.prefixes:
            if isinstance(
                    getattr(network, f'{prefix}{name}', None), nn.Module):
                return [f'{prefix}{name}']
        return []

    def _stages(self, network: nn.Module) -> List[Union[str, dict]]:
        """Taps of the place ``'stages'``."""
        return [*self._part(network, 'backbone')]

    def _neck(self, network: nn.Module) -> List[str]:
        return self._part(network, 'neck')

    def _features(self, network: nn.Module) -> List[KnownTap]:
        for name in self._neck(network):
            neck = getattr(network, name)
            # A level beyond the convolutions of a pyramid is pooled from the
            # last one and adds no information.
            convs = getattr(neck, 'fpn_convs', None)
            count = len(convs) if isinstance(convs, nn.ModuleList) else 0
            pooled = 0 < count < getattr(neck, 'num_outs', 0)
            return [KnownTap(f'{name}[0:{count}]' if pooled else name, 'neck')]
        return self._last_stage(network)

    def _last_stage(self, network: nn.Module) -> List[KnownTap]:
        return [
            KnownTap(
                f'{tap}[-1]' if isinstance(tap, str) else dict(tap, index=-1),
                'stages',
                level=-1) for tap in self._stages(network)
        ]

    def _patch_embeds(self, network: nn.Module) -> List[str]:
        return _patch_embeds(network, self._part(network, 'backbone'))

    def _embeddings(self, network: nn.Module) -> List[str]:
        return [f'{path}[0]' for path in self._patch_embeds(network)]

    def _patches(self, network: nn.Module) -> List[str]:
        return [
            f'{path}.projection@input' for path in self._patch_embeds(network)
        ]


def is_transformer(network: nn.Module) -> bool:
    """Whether the backbone of a network, or all of it, has self-attention."""
    return any(
        map(is_attention,
            getattr(network, 'backbone', network).modules()))


def is_attention(module: nn.Module) -> bool:
    """Whether a module computes queries, keys and values by one weight."""
    return (isinstance(module, nn.MultiheadAttention)
            or isinstance(getattr(module, 'qkv', None), nn.Linear))


def _patch_embeds(network: nn.Module, backbones: List[str]) -> List[str]:
    """The patch embedding of each stage of a hierarchical transformer.

    It supports backbones structured like mmseg's ``MixVisionTransformer`` and
    mmdet's ``PyramidVisionTransformerV2``, whose stages begin with a
    ``PatchEmbed``.
    """
    for name in backbones:
        stages = getattr(getattr(network, name), 'layers', None)
        if isinstance(stages, nn.ModuleList) and all(
                isinstance(stage, nn.ModuleList) and len(stage) and isinstance(
                    getattr(stage[0], 'projection', None), nn.Conv2d)
                for stage in stages):
            return [f'{name}.layers.{i}.0' for i in range(len(stages))]
    return []


def _segmentation_heads(network: nn.Module, name: str) -> List[str]:
    """Paths of the heads of this name that classify with ``conv_seg``."""
    head = getattr(network, name, None)
    heads = {f'{name}.{i}': part for i, part in enumerate(head)} \
        if isinstance(head, nn.ModuleList) else {name: head}
    return [path for path, part in heads.items() if hasattr(part, 'conv_seg')]


def _logits(network: nn.Module) -> List[str]:
    # Of a cascade, the last head decides.
    heads = _segmentation_heads(network, 'decode_head')
    return [f'{path}.conv_seg' for path in heads[-1:]]


def _classifier_input(network: nn.Module) -> List[str]:
    return [f'{path}@input' for path in _logits(network)]


def _auxiliary_logits(network: nn.Module) -> List[str]:
    heads = [
        *_segmentation_heads(network, 'decode_head')[:-1],
        *_segmentation_heads(network, 'auxiliary_head')
    ]
    return [f'{path}.conv_seg' for path in heads]


def predict_sample(network: nn.Module, batch: Batch, size: Tuple[int,
                                                                 int]) -> Any:
    """The first data sample that mode ``'predict'`` of an OpenMMLab model
    gives, in the geometry of the prepared image.

    Args:
        network (nn.Module): The network.
        batch (dict): ``inputs``, images (N, C, H, W), and ``data_samples``,
            which stay as they are.
        size (tuple[int, int]): Height and width in pixels of the image
            without its padding.
    """
    samples = copy.deepcopy(batch['data_samples'])
    for sample in samples:
        # The libraries turn predictions back to the file's geometry.
        sample.set_metainfo(
            dict(
                ori_shape=size,
                img_shape=size,
                pad_shape=tuple(batch['inputs'].shape[-2:]),
                scale_factor=(1., 1.),
                flip=False))
    return network(batch['inputs'], samples, mode='predict')[0]


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


def register_family(family: Type[Family]) -> Type[Family]:
    """Add a family, ahead of those that are registered already.

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
