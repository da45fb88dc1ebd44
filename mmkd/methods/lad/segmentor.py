"""The teacher of LAD, which sees noisy labels."""
from typing import Any, Dict, List, Literal, Optional

import torch
import torch.nn.functional as F
from mmseg.models import EncoderDecoder
from mmseg.utils import add_prefix
from torch import Tensor, nn

from mmkd.core.logits import check_tau
from mmkd.errors import ConfigError, MismatchError
from mmkd.methods.lad.noise import SCALE, noisy_labels
from mmkd.ops.channel_wise import channel_wise_divergence
from mmkd.registry import MODELS
from mmkd.utils.arguments import check_choices


class LabelStem(nn.Conv2d):
    """A network's first convolution with one more input channel.

    Weights of the convolution without that channel load into the others.

    Args:
        conv (nn.Conv2d): The convolution.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(
            conv.in_channels + 1,
            conv.out_channels,
            conv.kernel_size,  # type: ignore[arg-type]
            conv.stride,  # type: ignore[arg-type]
            conv.padding,  # type: ignore[arg-type]
            conv.dilation,  # type: ignore[arg-type]
            bias=conv.bias is not None,
            padding_mode=conv.padding_mode)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any,
                              **kwargs: Any) -> None:
        weight = state_dict.get(f'{prefix}weight')
        if weight is not None and weight.size(1) == self.in_channels - 1:
            own = self.weight.detach()[:, -1:].to(weight)
            state_dict[f'{prefix}weight'] = torch.cat([weight, own], 1)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def widen_stem(backbone: nn.Module) -> str:
    """Replace a backbone's first convolution by a :class:`LabelStem`.

    Returns:
        str: Its path in the backbone.

    Raises:
        ConfigError: If it has groups, or there is none.
    """
    for name, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.groups == 1:
                backbone.set_submodule(name, LabelStem(module))
                return name
            break
    raise ConfigError(
        f'the backbone {type(backbone).__name__} does not begin with an '
        'ordinary convolution, to which a channel of labels could be added')


@MODELS.register_module()
class LabelAssistedSegmentor(EncoderDecoder):
    """A segmentor whose input is an image and its noisy label map.

    The teacher of `Make a Strong Teacher with Label Assistance
    <https://arxiv.org/abs/2407.13254>`_ (Qiu et al., ECCV 2024). It has the
    student's architecture; its first convolution has a fourth input channel,
    the label map with noise that hides the classes
    (:func:`~mmkd.methods.lad.noise.noisy_labels`). A config takes the model
    of the student with this ``type``; weights of the backbone for images load
    as they are.

    It is trained on two noisy copies of each sample. Each has the losses of
    the heads, and the class scores of both are to be alike
    (:func:`~mmkd.ops.channel_wise.channel_wise_divergence` in both
    directions). As a frozen teacher and in evaluation it runs once.

    Its metrics are those of a network that sees the labels. Do not compare
    them with others.

    Args:
        args: Arguments of mmseg's ``EncoderDecoder``.
        consistency_weight (float): Weight of each direction of the
            divergence. Defaults to 5.0.
        tau (float): Temperature of the divergence. Defaults to 4.0.
        code (str): Code of the classes as a teacher and in evaluation,
            ``'fixed'`` or ``'random'``; in training it is random. Defaults to
            ``'fixed'``.
        label_scale (float): Factor of the channel. Defaults to 1.735, for
            images that are divided by their standard deviations; 100 for
            pixels from 0 to 255.
        stem_std (float): Standard deviation of the initial weights of the
            channel. Defaults to 0.1.
        kwargs: Likewise arguments of ``EncoderDecoder``.

    Raises:
        ConfigError: If an option is wrong or the backbone has no first
            convolution that can be widened.
    """
    #: Whether it reads the ground truth, so that its tensors depend on more
    #: than the image.
    reads_labels = True

    def __init__(self,
                 *args: Any,
                 consistency_weight: float = 5.0,
                 tau: float = 4.0,
                 code: Literal['fixed', 'random'] = 'fixed',
                 label_scale: float = SCALE,
                 stem_std: float = 0.1,
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        check_tau('LabelAssistedSegmentor', tau=tau)
        check_choices(
            'LabelAssistedSegmentor', LabelAssistedSegmentor, code=code)
        self.consistency_weight = consistency_weight
        self.tau = tau
        self.code = code
        self.label_scale = label_scale
        self.stem_std = stem_std
        self._stem = widen_stem(self.backbone)

    def init_weights(self) -> None:
        """Initialise the network, then the channel of the labels."""
        super().init_weights()
        stem = self.backbone.get_submodule(self._stem)
        nn.init.normal_(stem.weight.data[:, -1:], std=self.stem_std)

    def _with_labels(self, inputs: Tensor, data_samples: Optional[List[Any]],
                     code: str) -> Tensor:
        """Images (N, 3, H, W) and their noisy labels as a channel more."""
        if not data_samples or any('gt_sem_seg' not in x
                                   for x in data_samples):
            raise MismatchError(
                'LabelAssistedSegmentor sees the label map of each image, but '
                'the batch has none; it can be a teacher, not a model to '
                'predict with')
        labels = torch.stack([
            self._label_map(sample, inputs.shape[-2:])
            for sample in data_samples
        ])
        channel = noisy_labels(labels, self.num_classes,
                               self.decode_head.ignore_index, code,
                               self.label_scale)
        return torch.cat([inputs, channel.to(inputs.dtype)], dim=1)

    def _label_map(self, sample: Any, size: torch.Size) -> Tensor:
        """The label map (H, W) of an image that the test pipeline may have
        resized and the preprocessor may have padded."""
        labels = sample.gt_sem_seg.data
        if labels.shape[-2:] == size:
            return labels[0]
        shape = sample.metainfo['img_shape'][:2]
        labels = F.interpolate(labels[None].float(), shape)[0, 0].long()
        padding = (0, size[1] - shape[1], 0, size[0] - shape[0])
        return F.pad(labels, padding, value=self.decode_head.ignore_index)

    def loss(self, inputs: Tensor, data_samples: List[Any]) -> Dict[str, Any]:
        """Compute the losses of two noisy copies and of their difference.

        Args:
            inputs (Tensor): Prepared images (N, 3, H, W).
            data_samples (list[SegDataSample]): Their label maps.
        """
        losses: Dict[str, Any] = {}
        logits = []
        for i in range(2):
            feats = self.extract_feat(
                self._with_labels(inputs, data_samples, 'random'))
            logits.append(self.decode_head.forward(feats))
            found = add_prefix(
                self.decode_head.loss_by_feat(logits[-1], data_samples),
                'decode')
            if self.with_auxiliary_head:
                found.update(
                    self._auxiliary_head_forward_train(feats, data_samples))
            losses.update(add_prefix(found, f'path_{i}'))
        losses['loss_consistency'] = self.consistency_weight * (
            channel_wise_divergence(logits[0], logits[1], self.tau) +
            channel_wise_divergence(logits[1], logits[0], self.tau))
        return losses

    def predict(self,
                inputs: Tensor,
                data_samples: Optional[List[Any]] = None) -> List[Any]:
        """Predict from images (N, 3, H, W) and their label maps."""
        return super().predict(
            self._with_labels(inputs, data_samples, self.code), data_samples)

    def _forward(self,
                 inputs: Tensor,
                 data_samples: Optional[List[Any]] = None) -> Tensor:
        """Class scores from images (N, 3, H, W) and their label maps."""
        return super()._forward(
            self._with_labels(inputs, data_samples, self.code), data_samples)
