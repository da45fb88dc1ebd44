"""Taps: their syntax, and the tensors that they select."""
import copy
import re
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from mmkd.errors import ConfigError, TapError
from mmkd.utils.suggestions import did_you_mean

_PATTERN = re.compile(r'(?:(?P<network>\w+):)?(?P<module>[\w.\-]+)'
                      r'(?P<index>(?:\[[^\[\]]+\])*)(?P<input>@input)?')

Index = Union[int, str, slice]


def _parse_index(text: str) -> Tuple[Index, ...]:
    index: List[Index] = []
    for part in re.findall(r'\[([^\[\]]+)\]', text):
        part = part.strip().strip('\'"')
        if re.fullmatch(r'-?\d+', part):
            index.append(int(part))
        elif re.fullmatch(r'(-?\d+)?:(-?\d+)?', part):
            index.append(
                slice(*(int(p) if p else None for p in part.split(':'))))
        else:
            index.append(part)
    return tuple(index)


def _write_index(index: Tuple[Index, ...]) -> str:
    parts = []
    for part in index:
        if isinstance(part, slice):
            part = ':'.join('' if p is None else str(p)
                            for p in (part.start, part.stop))
        parts.append(f'[{part}]')
    return ''.join(parts)


@dataclass(frozen=True, eq=False)
class Tap:
    """A place in a network where tensors are captured in a forward pass.

    As text: ``[network:]module[index][@input]``, for example ``'neck'``
    (every level), ``'neck[0]'``, ``'backbone[1:4]'``,
    ``'decode_head.conv_seg'``, ``'assistant:neck'``, or
    ``'decode_head.conv_seg@input'`` for the input of a module (its first
    positional argument). As a dict: the fields below by name.

    Two taps of the same place are equal, so a tensor that several distillers
    read is captured once.

    Args:
        module (str): Path of the module, as in ``named_modules()``.
        index (tuple): Integers, slices and keys that lead from the module's
            output to tensors. Defaults to ().
        where (str): ``'output'`` or ``'input'``. Defaults to ``'output'``.
        network (str, optional): Name of the teacher; None if there is only
            one. Defaults to None.
        calls (str): ``'one'`` if the module runs once per forward pass;
            ``'all'`` if it runs several times, such as a head shared by the
            levels of a pyramid: each call is then a level. Defaults to
            ``'one'``.
        copy (bool, optional): Whether to copy the tensor, which is needed if
            a later layer modifies it (an in-place ReLU). Defaults to None:
            the dry run decides.
        part (tuple[int, int], optional): ``(i, n)``: of a module that is in
            training mode, the i-th of n equal parts of the batch, for modules
            that compute n branches as one batch then. Defaults to None.
    """
    module: str
    index: Tuple[Index, ...] = ()
    where: str = 'output'
    network: Optional[str] = None
    calls: str = 'one'
    copy: Optional[bool] = None
    part: Optional[Tuple[int, int]] = None

    @classmethod
    def parse(cls, tap: 'TapLike') -> 'Tap':
        """Parse a tap from text or a dict; a tap is returned unchanged.

        Raises:
            ConfigError: If it cannot be parsed.
        """
        if isinstance(tap, Tap):
            return tap
        if isinstance(tap, str):
            match = _PATTERN.fullmatch(tap.strip())
            if match:
                return cls(
                    match['module'],
                    _parse_index(match['index']),
                    where='input' if match['input'] else 'output',
                    network=match['network'])
        elif isinstance(tap, dict):
            fields = dict(tap)
            unknown = [k for k in fields if k not in cls.__dataclass_fields__]
            if not unknown and isinstance(fields.get('module'), str):
                base = cls.parse(fields.pop('module'))
                if 'index' in fields:
                    index = fields['index']
                    fields['index'] = tuple(index) if isinstance(
                        index, (list, tuple)) else (index, )
                if fields.get('part') is not None:
                    fields['part'] = tuple(fields['part'])
                read = replace(base, **fields)
                if read.where in ('output', 'input') and read.calls in ('one',
                                                                        'all'):
                    return read
        raise ConfigError(
            f'cannot read the tap {tap!r}; write a module path such as '
            "'neck[0]' or 'decode_head.conv_seg', or a dict with the keys "
            f'{", ".join(cls.__dataclass_fields__)}')

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Tap) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple:
        # The path represents the index, since slices are not hashable.
        return self.path, self.calls, self.copy, self.part

    @property
    def path(self) -> str:
        """The tap as text."""
        network = f'{self.network}:' if self.network else ''
        where = '@input' if self.where == 'input' else ''
        return f'{network}{self.module}{_write_index(self.index)}{where}'

    def resolve(self, network: nn.Module, name: str) -> nn.Module:
        """The module of the tap.

        Args:
            network (nn.Module): The network.
            name (str): Name of the network in messages.

        Raises:
            ConfigError: If there is no such module; suggests similar names.
        """
        try:
            # Not `named_modules()`, since this runs at every step.
            return network.get_submodule(self.module)
        except AttributeError:
            hint = did_you_mean(self.module,
                                [path for path, _ in network.named_modules()])
            raise ConfigError(
                f'{name} ({type(network).__name__}) has no module '
                f'{self.module!r}. {hint} `mmkd taps` lists all '
                'that can be tapped.') from None

    def select(self, value: Any) -> List[Tensor]:
        """Select the tensors of the tap from a module's input or output.

        Args:
            value (Any): Output or first input of the module.

        Returns:
            list[Tensor]: One tensor per level.

        Raises:
            TapError: If the index does not lead to tensors.
        """
        try:
            for part in self.index:
                value = value[part]
        except (IndexError, KeyError, TypeError):
            raise TapError(f'the tap {self.path!r}: there is no '
                           f'[{part}] in {describe(value)}') from None
        levels = [value] if isinstance(value, Tensor) else value
        if not isinstance(levels, (list, tuple)) or not levels or not all(
                isinstance(level, Tensor) for level in levels):
            raise TapError(
                f'the tap {self.path!r} must lead to a tensor or a sequence '
                f'of tensors, but got {describe(value)}; add an index such '
                f"as '{self.module}[0]'")
        return list(levels)

    def replace_in(self, value: Any, tensors: Sequence[Tensor]) -> Any:
        """A copy of a module's input or output with other tensors in the
        place of those of the tap.

        Args:
            value (Any): Output or first input of the module; not changed.
            tensors (Sequence[Tensor]): One per level, as from :meth:`select`.

        Raises:
            TapError: If the index does not lead to tensors, or leads into
                one.
        """
        self.select(value)
        return self._replace_in(value, self.index, tensors)

    def _replace_in(self, value: Any, index: Tuple[Index, ...],
                    tensors: Sequence[Tensor]) -> Any:
        if isinstance(value, Tensor) and index:
            raise TapError(f'the tap {self.path!r} leads into a tensor; a '
                           'tap that writes replaces whole tensors')
        if isinstance(value, Tensor):
            return tensors[0]
        if isinstance(value, (list, tuple)):
            items: Any = list(value)
            if index:
                items[index[0]] = self._replace_in(items[index[0]], index[1:],
                                                   tensors)
            else:
                items = list(tensors)
            named = hasattr(value, '_fields')
            return type(value)(*items) if named else type(value)(items)
        changed = copy.copy(value)
        changed[index[0]] = self._replace_in(value[index[0]], index[1:],
                                             tensors)
        return changed


TapLike = Union[str, dict, Tap]


def describe(value: Any) -> str:
    """Describe the shape of a nested output, for messages and tables."""
    if isinstance(value, Tensor):
        return f'a tensor {tuple(value.shape)}'
    if isinstance(value, dict):
        return f'a dict with the keys {", ".join(map(str, value))}'
    if isinstance(value, (list, tuple)):
        kinds = ', '.join(describe(item) for item in value[:3])
        more = ', ...' if len(value) > 3 else ''
        return f'a {type(value).__name__} of {len(value)} ({kinds}{more})'
    return f'a {type(value).__name__}'


@dataclass(frozen=True)
class TapSpec:
    """What one level of a tap gave in the dry run.

    Attributes:
        path (str): The tap as text, with the level where there are several;
            for messages. What it is stands in ``kind`` and what follows.
        shape (tuple[int]): Shape of the tensor, (N, C, H, W) for a map.
        dtype (torch.dtype): Its type.
        input_size (tuple[int], optional): Height and width in pixels of the
            image that went in, if one did.
        network (str, optional): Name of the teacher; None for the student.
        kind (str, optional): What the tensor is, as a standard place of the
            network's family: ``'logits'``, ``'neck'``, ``'stages'``,
            ``'bev_low'`` and so on. None, here and below, for what the
            family does not know.
        task (int, optional): Task of a head that has several.
        branch (str, optional): Output of a head: ``'heatmap'``, ``'reg'``,
            ``'cls_score'``, ``'bbox_pred'`` and so on.
        level (int, optional): Index among the levels of its kind, task and
            branch; negative if counted from the last one.
        attributes (dict[str, Any]): The tapped module's plain attributes,
            such as the ``kernel_size`` of a convolution: numbers, text, and
            sequences of them.
        weights_hash (str, optional): SHA-256 of the teacher's weights, for a
            distiller with ``needs_weights_hash``. Defaults to None.
    """
    path: str
    shape: Tuple[int, ...]
    dtype: torch.dtype = torch.float32
    input_size: Optional[Tuple[int, int]] = None
    network: Optional[str] = None
    kind: Optional[str] = None
    task: Optional[int] = None
    branch: Optional[str] = None
    level: Optional[int] = None
    attributes: Dict[str, Any] = field(
        default_factory=dict, compare=False, repr=False)
    weights_hash: Optional[str] = field(
        default=None, compare=False, repr=False)

    @property
    def place(self) -> str:
        """What the tensor is, as text: the same for all taps that give it if
        the family knows it, otherwise the tap without its network."""
        if self.kind is None:
            return self.path.removeprefix(f'{self.network}:')
        known = (self.kind, self.task, self.branch, self.level)
        return ' '.join(str(x) for x in known if x is not None)

    @property
    def channels(self) -> int:
        """Size of dimension 1."""
        return self.shape[1]

    @property
    def stride(self) -> Optional[float]:
        """Input pixels per cell, if the tensor is a map of an image."""
        if self.input_size is None or len(self.shape) != 4:
            return None
        return self.input_size[0] / self.shape[2]
