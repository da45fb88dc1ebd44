"""The frozen teacher."""
import contextlib
import os.path as osp
from typing import Any, Dict, Iterator, List, Optional, Sequence, Union

import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from mmkd.core.class_subset import ClassSubset, config_classes
from mmkd.core.fold import Folding
from mmkd.core.layout import in_layout, set_layout
from mmkd.core.network import (NetworkLike, build_network, build_untrained,
                               network_config)
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError, TapError
from mmkd.families import family_of
from mmkd.ops.operators import autocast
from mmkd.ops.precision import upcast
from mmkd.utils.checkpoint import Checkpoint, load_weights, read_checkpoint
from mmkd.utils.config import official_weights
from mmkd.utils.devices import existing_device
from mmkd.utils.files import file_hash
from mmkd.utils.foundation import (check_fetched, fetched, has_weights,
                                   weights_of, with_trust)

_PRECISIONS = {
    'fp32': torch.float32,
    'fp16': torch.float16,
    'bf16': torch.bfloat16
}


class Teacher:
    """A frozen network with its weights, preprocessing, precision and taps.

    It is not an ``nn.Module``, so its weights are not part of the model that
    holds it: not in the optimiser, the checkpoint, DDP or EMA. A deep copy
    shares the network, which never changes.

    Args:
        cfg (str | dict | Config | nn.Module): ``'pkg::path'``, a config file,
            a config or model dict, a network of another library such as
            ``'timm::NAME'`` (docs/foundation.md), or a built
            network.
        ckpt (str | dict): Weights: a file or URL, or ``dict(url=...,
            sha256=...)``; ``'official'`` for those that the library
            publishes for ``cfg``, or ``'random'`` to leave the network
            untrained (for tests). Optional for a built network, and for
            files and folders that have the weights, such as
            ``'hf::FOLDER'``.
        input_map (dict[str, str], optional): Keys of the teacher's inputs in
            the batch of the data loader, for a teacher whose data differ from
            the student's: ``{'inputs.points': 'inputs.complete'}``. Defaults
            to None.
        precision (str, optional): ``'fp32'``, ``'fp16'`` or ``'bf16'`` runs
            it in that precision, also where a method runs its head again;
            None follows the training step. ``'auto'`` follows AMP, but on a
            CPU not for networks with torch's attention, which are slower in
            it; without AMP, bfloat16 on a device that computes in it
            natively, if all taps are features of an image. Scores stay in
            float32. Defaults to ``'auto'``.
        fold (bool): Whether to fold batch normalisation into convolutions.
            Defaults to True.
        channels_last (bool): Whether a convolutional network runs in this
            memory format. Defaults to True.
        device (str, optional): Device that it runs on, such as ``'cuda:1'``;
            it then runs while the student does. Defaults to None: the
            student's.
        chunk (int, optional): Number of images that it takes at a time, where
            its activations would need too much memory. Defaults to None: the
            whole batch.
        cache (dict, optional): Stores its tensors and reads them when the
            same inputs come again:
            :class:`~mmkd.core.cache.teacher_cache.CacheOptions`. Defaults to
            None.
        mode (str): Mode of its ``forward``. ``'loss'`` is only needed for
            taps that fire nowhere else, such as auxiliary heads. Defaults to
            ``'tensor'``, or to ``'predict'`` for networks without this mode
            (such as mmdet3d's ``CenterPoint``).
        classes (list[str], optional): For a teacher of mmdet or mmseg that
            was trained on more classes than the student: the student's, in
            its order. Only their scores are kept. Names are those in the
            weights, or of the data that ``cfg`` trains on. Defaults to None:
            all of the teacher's.
        trusted (bool): Whether the file ``ckpt``, or that of
            ``'export::FILE'`` or ``'torchscript::FILE'``, may contain more
            than weights and data, which can run code. Defaults to False.
        strict (bool): Whether ``ckpt`` must hold every weight. Defaults to
            True.
        name (str): Its name in configs and messages. Defaults to
            ``'teacher'``.

    Raises:
        ConfigError: If the config is wrong or ``ckpt`` is missing.
        CheckpointError: If the weights cannot be read or do not fit.
    """

    def __init__(self,
                 cfg: NetworkLike,
                 ckpt: Union[str, dict, None] = None,
                 input_map: Optional[Dict[str, str]] = None,
                 precision: Optional[str] = 'auto',
                 fold: bool = True,
                 channels_last: bool = True,
                 device: Optional[str] = None,
                 chunk: Optional[int] = None,
                 cache: Optional[dict] = None,
                 mode: str = 'tensor',
                 classes: Optional[Sequence[str]] = None,
                 trusted: bool = False,
                 strict: bool = True,
                 name: str = 'teacher') -> None:
        _check_options(name, precision, mode, chunk)
        self.name = name
        self.chunk = chunk
        self.cache_options = cache
        self.cache: Any = None  # made once the taps are known
        self.device = device if device is None else existing_device(
            device, f'teacher {name!r}')
        self.precision = precision
        self.fold = fold
        self.channels_last = channels_last
        cfg, ckpt = fetched(with_trust(cfg, trusted), ckpt)
        self.given = isinstance(cfg, nn.Module)
        # Set where `mmkd.core.speed` finds it safe; `changes` is for the log.
        self.changes: List[str] = []
        self.low_precision: Optional[torch.dtype] = None
        self._folding: Optional[Folding] = None
        self._layout = torch.contiguous_format
        self.input_map = dict(input_map or {})
        checkpoint = _read_weights(name, cfg, ckpt, trusted)
        self.classes = checkpoint.classes if checkpoint else None
        subset = None
        if classes is not None:
            subset = _subset(name, cfg, self.classes, classes)
        if subset is not None:
            self.classes, cfg = subset.names, subset.config(cfg)
        self._cfg = None if self.given else cfg
        build = build_untrained if checkpoint is None else build_network
        self.network = build(cfg, f'teacher {name!r}')
        family = family_of(self.network)
        self.origin = family.origin(self.network)
        if checkpoint is not None:
            checkpoint.state_dict = family.own_weights(self.network,
                                                       checkpoint.state_dict)
            if subset is not None:
                checkpoint.state_dict = subset.weights(self.network,
                                                       checkpoint.state_dict)
            load_weights(self.network, checkpoint, f'teacher {name!r}', strict)
            if is_main_process():
                self.origin.update(_file_of(name, checkpoint))
        notes = family.notes(self.network)
        if notes is not None:
            print_log(f'teacher {name!r}: {notes}', 'current')
        self.mode = family.frozen_mode(self.network, mode)
        self.trial_modes = family.trial_modes(self.network, mode)
        self.network.eval()
        self.network.requires_grad_(False)
        self._attends = any(
            isinstance(module, nn.MultiheadAttention)
            for module in self.network.modules())
        if self.device is not None:
            self.network.to(self.device)

    def __deepcopy__(self, memo: dict) -> 'Teacher':
        return self

    def model_config(self) -> Optional[dict]:
        """Its model as in the config; None for a network given as such."""
        if self._cfg is None:
            return None
        return network_config(self._cfg, f'teacher {self.name!r}')[0]

    @property
    def preprocessor(self) -> Any:
        """The network's own data preprocessor, None if it has none."""
        return family_of(self.network).preprocessor(self.network)

    def own_data(self, data: dict) -> dict:
        """The batch of the data loader with this teacher's inputs."""
        for target, source in self.input_map.items():
            value: Any = data
            for key in source.split('.'):
                if not isinstance(value, dict) or key not in value:
                    raise ConfigError(
                        f'teacher {self.name!r}: `input_map` names '
                        f'{source!r}, but the batch has no {key!r}')
                value = value[key]
            data = _with(data, target.split('.'), value)
        return data

    def extract(
            self,
            inputs: Union[Tensor, dict],
            data_samples: Optional[list],
            taps: Sequence[Tap],
            counts: Optional[Dict[Tap,
                                  int]] = None) -> Dict[Tap, List[Tensor]]:
        """Run the network up to the last tap and return the tensors.

        Args:
            inputs (Tensor | dict): Prepared inputs, (N, C, H, W) for images.
            data_samples (list, optional): Prepared data samples.
            taps (Sequence[Tap]): The taps to capture.
            counts (dict[Tap, int], optional): Number of times each tap fires
                in a forward pass, which ends after the last one. Defaults to
                None: the forward pass is complete.

        Returns:
            dict[Tap, list[Tensor]]: Detached tensors on the teacher's device,
            one per level.

        Raises:
            TapError: If a tap does not fire, or cannot be computed in chunks.
            ConfigError: If the inputs cannot be split into chunks.
        """
        batch = self.bring(dict(inputs=inputs, data_samples=data_samples))
        if self._layout == torch.channels_last:
            batch['inputs'] = in_layout(batch['inputs'], self._layout)
        parts = [
            self._extract(part, taps, counts)
            for part in _chunks(batch, self.chunk, self.name)
        ]
        if len(parts) == 1:
            return parts[0]
        return {
            tap: [
                torch.cat(levels) for levels in zip(*(part[tap]
                                                      for part in parts))
            ]
            for tap in taps
        }

    def _extract(self, batch: Dict[str, Any], taps: Sequence[Tap],
                 counts: Optional[Dict[Tap, int]]) -> Dict[Tap, List[Tensor]]:
        catcher = TapCatcher(self.network, taps, f'teacher {self.name!r}',
                             counts)
        with torch.no_grad(), self.autocast(features=True), catcher:
            self.network(
                batch['inputs'], batch['data_samples'], mode=self.mode)
        # Only what the user asks for reaches a distiller in half precision.
        found = upcast(catcher.take()) if self._chosen() else catcher.take()
        for tap in found if self.chunk is not None else ():
            for level in found[tap]:
                if level.shape[:1] != batch['inputs'].shape[:1]:
                    raise TapError(
                        f'teacher {self.name!r}: the tap {tap.path!r} does '
                        'not give an entry for each image (its shape is '
                        f'{tuple(level.shape)}), so it cannot be computed in '
                        'chunks; remove `chunk`')
        return found

    def bring(self, batch: Dict[str, Any]) -> Dict[str, Any]:
        """A prepared batch on the device that the teacher runs on."""
        if self.device is None:
            return batch
        return BaseDataPreprocessor().to(self.device).cast_data(batch)

    def autocast(self,
                 features: bool = False) -> contextlib.AbstractContextManager:
        """Context in which the network runs with its ``precision``.

        Args:
            features (bool): Whether only its taps are read, for which
                ``'auto'`` may choose bfloat16. Defaults to False.
        """
        if self.stays_in_float32:
            return torch.autocast(self._device, enabled=False)
        dtype = _PRECISIONS.get(self.precision or '')
        if features and dtype is None:
            dtype = self._chosen()
        return autocast(self._device, dtype)

    @property
    def stays_in_float32(self) -> bool:
        """Whether it runs in float32 under AMP, too.

        With ``'auto'``, networks with torch's attention do so on a CPU, where
        its inference in bfloat16 copies a weight for each image and is slower.
        """
        if self.precision != 'auto':
            return self.precision == 'fp32'
        return self._attends and self._device == 'cpu'

    def running_dtype(self) -> torch.dtype:
        """Type that the network computes in now, if only taps are read."""
        device = self._device
        with self.autocast(features=True):
            lower = torch.amp.is_autocast_available(
                device) and torch.is_autocast_enabled(device)
            return torch.get_autocast_dtype(device) if lower else torch.float32

    @property
    def _device(self) -> str:
        return next(self.network.parameters()).device.type

    def _chosen(self) -> Optional[torch.dtype]:
        """Data type that ``'auto'`` has chosen; None under AMP."""
        if not self.low_precision or torch.is_autocast_enabled(self._device):
            return None
        return self.low_precision

    def set_layout(self, layout: torch.memory_format) -> None:
        """Run the network's 2D convolutions in another memory format."""
        self._layout = layout
        set_layout(self.network, layout)

    def fold_in(self, folding: Folding) -> None:
        """Fold batch normalisation into convolutions."""
        folding.apply()
        self._folding = folding

    def unfold(self) -> None:
        """Put back what was folded."""
        if self._folding is not None:
            self._folding.undo()
        self._folding = None

    @contextlib.contextmanager
    def as_loaded(self) -> Iterator[nn.Module]:
        """Context in which the network has the weights of its checkpoint,
        without what was folded."""
        folding = self._folding
        self.unfold()
        try:
            yield self.network
        finally:
            if folding is not None:
                self.fold_in(folding)


def _check_options(name: str, precision: Optional[str], mode: str,
                   chunk: Optional[int]) -> None:
    """Check options that have few values."""
    if precision not in (None, 'auto', *_PRECISIONS):
        raise ConfigError(f'teacher {name!r}: precision is one of auto, '
                          f'{", ".join(_PRECISIONS)}, not {precision!r}')
    if mode not in ('tensor', 'predict', 'loss'):
        raise ConfigError(f"teacher {name!r}: mode is 'tensor', 'predict' "
                          f"or 'loss', not {mode!r}")
    if chunk is not None and chunk < 1:
        raise ConfigError(f'teacher {name!r}: chunk is a number of images, '
                          f'not {chunk!r}')


def _read_weights(name: str, cfg: NetworkLike, ckpt: Union[str, dict, None],
                  trusted: bool) -> Optional[Checkpoint]:
    """Read the weights, so that a wrong file is found before building."""
    if ckpt is None:
        ckpt = weights_of(cfg)
    if ckpt == 'random' or (ckpt is None and
                            (isinstance(cfg, nn.Module) or has_weights(cfg))):
        return None
    if ckpt is None:
        check_fetched(cfg)
        raise ConfigError(
            f'teacher {name!r} has no weights; give '
            "`ckpt='file.pth'`, or `ckpt='official'` for those that the "
            'library publishes for its config')
    if ckpt == 'official':
        ckpt = official_weights(cfg)
    return read_checkpoint(ckpt, trusted)


def _subset(name: str, cfg: NetworkLike, known: Optional[Sequence[str]],
            classes: Sequence[str]) -> Optional[ClassSubset]:
    """The classes to keep, of those that its weights name or its data have;
    None for all."""
    if isinstance(cfg, nn.Module):
        raise ConfigError(f'teacher {name!r}: `classes` needs a config; this '
                          'network is built already')
    known = known or config_classes(cfg)
    if known is None:
        raise ConfigError(
            f'teacher {name!r}: neither its weights nor its config name the '
            'classes that it was trained on, of which `classes` are some')
    if list(classes) == list(known):
        return None
    return ClassSubset(classes, known, f'teacher {name!r}')


def _file_of(name: str, checkpoint: Checkpoint) -> Dict[str, str]:
    """Name and hash of the file of its weights, which are logged."""
    digest = file_hash(checkpoint.path)
    part = 'of the index ' if checkpoint.path.endswith('.json') else ''
    print_log(
        f'teacher {name!r}: weights of {checkpoint.path}, SHA-256 '
        f'{part}{digest}', 'current')
    return dict(weights=osp.basename(checkpoint.path), sha256=digest)


def label_reader(teacher: Teacher) -> str:
    """What of a teacher reads the ground truth; empty if nothing."""
    if teacher.mode == 'loss':
        return "mode='loss'"
    if getattr(teacher.network, 'reads_labels', False):
        return type(teacher.network).__name__
    return ''


def _chunks(batch: Dict[str, Any], size: Optional[int],
            name: str) -> List[Dict[str, Any]]:
    """A prepared batch in chunks of some images."""
    if size is None:
        return [batch]
    inputs, samples = batch['inputs'], batch['data_samples']
    if not isinstance(inputs, Tensor):
        raise ConfigError(
            f'teacher {name!r}: `chunk` splits batches of images, but this '
            f'teacher gets {", ".join(inputs)}; remove `chunk`')
    return [
        dict(inputs=images, data_samples=samples and samples[at:at + size])
        for at, images in zip(range(0, len(inputs), size), inputs.split(size))
    ]


def _with(data: dict, path: List[str], value: Any) -> dict:
    """A copy of nested dicts with one entry replaced."""
    data = dict(data)
    data[path[0]] = value if len(path) == 1 else _with(
        data.get(path[0]) or {}, path[1:], value)
    return data
