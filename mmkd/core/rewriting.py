"""Training modules that replace tensors inside a frozen network."""
from abc import abstractmethod
from typing import (Any, ClassVar, Dict, List, Mapping, Optional, Sequence,
                    Tuple, Union)

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel, BaseModule
from mmengine.registry import DefaultScope
from torch import Tensor

from mmkd.core.building import build_teacher
from mmkd.core.cache.keys import weights_hash
from mmkd.core.taps.dry_run import dry_run
from mmkd.core.taps.tap import Tap, TapLike, TapSpec
from mmkd.core.taps.writer import TapWriter, check_writable
from mmkd.core.teacher import Teacher
from mmkd.core.terms import term_name
from mmkd.errors import CheckpointError, ConfigError
from mmkd.families.places import standard_taps
from mmkd.registry import MODELS
from mmkd.utils.arguments import error_context
from mmkd.utils.rng import preserve_rng

#: Options of a teacher whose effect a tap that writes would spoil.
_REFUSED = dict(
    cache='which would store tensors that change while the modules train',
    chunk='since its task loss is that of the whole batch',
    device='since its gradients belong to the device that trains',
    input_map='since it gets the batch as it is',
    mode="since it runs in 'loss' mode")


class Rewriter(BaseModule):
    """A module that replaces tensors inside a frozen network.

    Args:
        taps (str | dict | list, optional): The tensors to replace. Defaults
            to None: those of the standard place :attr:`role`.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    #: Standard place that is replaced.
    role: ClassVar[str] = 'neck'

    def __init__(self,
                 taps: Union[TapLike, Sequence[TapLike], None] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        given: Any = taps if isinstance(taps, (list, tuple)) else [taps]
        self.taps = None if taps is None else [Tap.parse(x) for x in given]

    @abstractmethod
    def setup(self, specs: Sequence[TapSpec]) -> None:
        """Build everything that depends on shapes, once.

        Args:
            specs (Sequence[TapSpec]): Specs of the tensors, one per level.
        """

    @abstractmethod
    def rewrite(self, level: int,
                value: Tensor) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Replace a tensor.

        Args:
            level (int): Its index in the specs.
            value (Tensor): What the network computed.

        Returns:
            tuple[Tensor, dict[str, Tensor]]: A tensor of the same shape, and
            terms that are added to the network's own loss, each a scalar.
        """


@MODELS.register_module()
class RewritingModel(BaseModel):
    """A frozen network, and a module that replaces tensors inside it.

    Only the module trains: by the network's own loss, whose gradient passes
    through the frozen weights, and by the module's terms, summed over the
    levels. Validation and testing run the network with the replaced tensors.
    A checkpoint holds the module under ``rewriter.``, the SHA-256 of the
    network's weights, ``teacher_hash``, and what was replaced, ``places``.

    Args:
        teacher (dict | Teacher): The network: ``cfg``, ``ckpt``,
            ``precision``, ``trusted`` and ``strict`` of
            :class:`~mmkd.core.Teacher`. Its weights are never folded.
        rewriter (dict | Rewriter): The module.
        dry_run_size (tuple[int, int]): Height and width in pixels of the
            synthetic image for the dry run. Defaults to (128, 128).
        data_preprocessor (dict, optional): The preprocessor of a config that
            has it outside the model, for a ``cfg`` of the teacher without
            one. Defaults to None.

    Raises:
        ConfigError: If a part cannot be built, or an option of the teacher
            does not go with a tap that writes.
        TapError: If a tap does not fire in the dry run.
    """

    def __init__(self,
                 teacher: Union[dict, Teacher],
                 rewriter: Union[dict, Rewriter],
                 dry_run_size: Tuple[int, int] = (128, 128),
                 data_preprocessor: Optional[dict] = None) -> None:
        _check_options(teacher)
        if data_preprocessor and isinstance(teacher, dict):
            cfg = teacher.get('cfg')
            if isinstance(cfg, dict) and 'model' not in cfg:
                cfg = {'data_preprocessor': data_preprocessor, **cfg}
                teacher = dict(teacher, cfg=cfg)
        frozen = build_teacher('teacher', teacher)
        super().__init__(data_preprocessor=frozen.preprocessor)
        frozen.unfold()
        frozen.set_layout(torch.contiguous_format)
        self.teacher = frozen
        if not isinstance(rewriter, Rewriter):
            with DefaultScope.overwrite_default_scope('mmkd'), error_context(
                    '`rewriter`'):
                rewriter = MODELS.build(rewriter)
        if not isinstance(rewriter, Rewriter):
            raise ConfigError('`rewriter` is the config of a Rewriter, not of '
                              f'a {type(rewriter).__name__}')
        network = frozen.network
        self.taps = rewriter.taps or [
            Tap.parse(tap)
            for tap in standard_taps(network, rewriter.role, 'the teacher')
        ]
        check_writable(self.taps, 'the teacher')
        with preserve_rng():
            specs = dry_run(network, self.taps, 'the teacher',
                            frozen.trial_modes, dry_run_size).specs
        levels = [spec for tap in self.taps for spec in specs[tap]]
        # Level of the first tensor of each tap.
        self._first = {
            tap: sum(len(specs[before]) for before in self.taps[:i])
            for i, tap in enumerate(self.taps)
        }
        rewriter.setup(levels)
        self.rewriter: Any = rewriter
        self.register_buffer('teacher_hash',
                             _bytes(bytes.fromhex(weights_hash(network))))
        self.register_buffer(
            'places',
            _bytes('\n'.join(spec.place for spec in levels).encode()))
        print_log(
            'replaced in the teacher, which runs without folded weights and '
            'channels_last: ' + ', '.join(f'{spec.path} {spec.shape}'
                                          for spec in levels), 'current')

    def forward(self,
                inputs: Union[Tensor, dict],
                data_samples: Optional[list] = None,
                mode: str = 'tensor') -> Any:
        """Run the network with the replaced tensors.

        Args:
            inputs (Tensor | dict): Prepared inputs, (N, C, H, W) for images.
            data_samples (list, optional): Prepared data samples.
            mode (str): As for the network. Defaults to ``'tensor'``.

        Returns:
            Any: What the network returns; in ``'loss'`` mode, its losses
            under ``teacher.`` and the terms under ``rewriter.``.
        """
        terms: Dict[str, List[Tensor]] = {}

        def write(tap: Tap, levels: List[Tensor]) -> List[Tensor]:
            written = []
            for i, value in enumerate(levels, self._first[tap]):
                new, found = self.rewriter.rewrite(i, value)
                written.append(new)
                for name, term in found.items():
                    terms.setdefault(name, []).append(term)
            return written

        network = self.teacher.network
        with self.teacher.autocast(), TapWriter(network, self.taps,
                                                'the teacher', write):
            found = network(inputs, data_samples, mode=mode)
        if mode != 'loss':
            return found
        losses = {f'teacher.{key}': value for key, value in found.items()}
        losses.update((term_name('rewriter', name), torch.stack(values).sum())
                      for name, values in terms.items())
        return losses

    def check_resumable(self, state_dict: Mapping[str, Tensor]) -> None:
        """Check that weights were trained in this teacher, at these places.

        Args:
            state_dict (Mapping[str, Tensor]): Of the run to resume.

        Raises:
            CheckpointError: If not.
        """
        for name, what in (('teacher_hash', 'another teacher'),
                           ('places', 'other taps')):
            given = state_dict.get(name)
            if given is not None and not given.equal(
                    getattr(self, name).cpu()):
                raise CheckpointError(
                    f'`rewriter` was trained with {what}; resume with the '
                    'teacher and taps of that run, or start a new one from '
                    'its weights by `load_from` without `resume`')

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args:
                              Any) -> None:
        """Load the module, but not what its new weights belong to."""
        for name in ('teacher_hash', 'places'):
            if prefix + name in state_dict:
                state_dict[prefix + name] = getattr(self, name)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply(self, fn: Any, recurse: bool = True) -> 'RewritingModel':
        super()._apply(fn, recurse)
        self.teacher.network._apply(fn, recurse)
        return self


def _bytes(content: bytes) -> Tensor:
    return torch.tensor(list(content), dtype=torch.uint8)


def _check_options(teacher: Union[dict, Teacher]) -> None:
    """Check that the options of a teacher go with a tap that writes."""
    for name, reason in _REFUSED.items():
        if isinstance(teacher, Teacher):
            given: Any = teacher.cache_options if name == 'cache' else (
                None if name == 'mode' else getattr(teacher, name))
        else:
            given = teacher.get(name) if isinstance(teacher, dict) else None
        if given:
            raise ConfigError(f'the teacher of a RewritingModel cannot have '
                              f'`{name}`, {reason}; remove it')
