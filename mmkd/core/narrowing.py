"""Initialising a narrow network from the weights of a wider one."""
import copy
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvTransposeNd

from mmkd.core.taps.dry_run import untouched
from mmkd.errors import ConfigError
from mmkd.families import family_of, is_attention
from mmkd.utils.rng import preserve_rng


class Inherited(NamedTuple):
    """Number of the tensors of a module by their origin.

    Attributes:
        whole (int): Copies of the teacher's.
        narrowed (int): Parts of the teacher's.
        left (int): Others, as initialised.
    """
    whole: int
    narrowed: int
    left: int

    def __add__(self, other: tuple) -> 'Inherited':
        return Inherited(*(x + y for x, y in zip(self, other)))


class Flow(NamedTuple):
    """How features flow through the modules with weights of a network.

    Attributes:
        sources (dict[str, list[str]]): By path, in the order of execution:
            the modules whose outputs a module reads, in the order in which
            they are concatenated.
        sums (list[tuple[str, str]]): Modules whose outputs are added.
        splits (set[str]): Modules of whose outputs others read parts.
    """
    sources: Dict[str, List[str]]
    sums: List[Tuple[str, str]]
    splits: Set[str]


def read_flow(network: nn.Module, name: str) -> Flow:
    """Run a copy of a network once, and follow its features through autograd.

    Args:
        network (nn.Module): The network.
        name (str): Its name in messages.

    Raises:
        ConfigError: If it does not run on an example.
    """
    network = copy.deepcopy(network).requires_grad_()
    paths = {
        module: path
        for path, module in network.named_modules()
        if isinstance(getattr(module, 'weight', None), Tensor)
        and module.weight.dim()
    }
    # The nodes of the graph are kept, since only living ones compare equal.
    givers: Dict[Any, str] = {}
    flow = Flow({}, [], set())

    def sources(node: Any) -> List[str]:
        if node in givers:
            return [givers[node]]
        found = [
            parts for parts in (sources(child)
                                for child, _ in node.next_functions
                                if child is not None) if parts
        ]
        if _splits(node):
            flow.splits.update(sum(found, []))
        if 'Cat' in node.name():
            return sum(found, [])
        flow.sums.extend((found[0][0], other[0]) for other in found[1:]
                         if other != found[0])
        return found[0] if found else []

    def before(module: nn.Module, args: tuple) -> None:
        if paths[module] not in flow.sources:
            node = _node(args)
            flow.sources[paths[module]] = [] if node is None else sources(node)

    def after(module: nn.Module, args: tuple, output: Any) -> None:
        node = _node(output)
        if node is not None:
            givers[node] = paths[module]

    for module in paths:
        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)
    with preserve_rng(), untouched(network, training=True):
        batch = family_of(network).example_batch(network, (128, 128))
        failure: Optional[Exception] = None
        for mode in ('loss', 'tensor'):
            try:
                with torch.enable_grad():
                    network(batch['inputs'], batch['data_samples'], mode=mode)
                return flow
            except Exception as error:
                failure = error
    if not flow.sources:
        raise ConfigError(f'{name} ({type(network).__name__}) does not run on '
                          f'an example: {type(failure).__name__}: '
                          f'{str(failure)[:200]}')
    print_log(f'{name}: an example did not run to its end: {failure!r}',
              'current')
    return flow


def _splits(node: Any) -> bool:
    """Whether a node of the graph gives a part of the channels, or may."""
    name = node.name()
    if name.startswith('Slice'):  # a crop has all channels
        dims = len(node._saved_self_sym_sizes)
        return node._saved_dim == (2 if dims == 3 else 1)  # tokens, maps
    return name.startswith(('Split', 'Unbind', 'Select', 'Glu'))


def _node(value: Any) -> Any:
    """The node of the graph that gave the first tensor of nested values."""
    if isinstance(value, Tensor):
        return value.grad_fn
    if isinstance(value, dict):
        value = list(value.values())
    elif hasattr(value, 'features'):  # a sparse tensor
        value = [value.features]
    if isinstance(value, (list, tuple)):
        return next((node for node in map(_node, value) if node), None)
    return None


class Narrowing:
    """Which of a teacher's channels become those of a narrower student.

    Each module keeps the leading outputs of the teacher's, or the most
    important ones, and the inputs that belong to the outputs kept by the
    modules that it reads. So of a concatenation it takes a part of each
    part. Depths must agree.

    Where leading channels mean something else, a module keeps its
    initialisation, and the log names it: attention with one weight for
    queries, keys and values, outputs that are split, convolutions of groups
    that are not depthwise, and class scores of another number of classes.

    Args:
        student (nn.Module): The student.
        teacher (nn.Module): The teacher.
        select (str): ``'first'``, or ``'l1'``: outputs whose filters have the
            largest L1 norm over the inputs that are kept, as in
            Once-for-All.
        bev_order (str): How the heights of a volume are flattened to the
            channels of a map: ``'channel'``, as mmdet3d and OpenPCDet do, or
            ``'slice'``: the channels of each height together, as the released
            code of SparseKD takes them to be.

    Raises:
        ConfigError: If the student does not run on an example, or, for
            ``'l1'``, adds outputs of modules that it narrows.
    """

    def __init__(self,
                 student: nn.Module,
                 teacher: nn.Module,
                 select: str = 'first',
                 bev_order: str = 'channel') -> None:
        self.select, self.bev_order = select, bev_order
        self.flow = read_flow(student, 'the student')
        self.own = dict(student.named_modules())
        self.given = dict(teacher.named_modules())
        #: Kept outputs of each module, and their number in the teacher.
        self.outputs: Dict[str, Tuple[Tensor, int]] = {}
        #: Kept indices of each dimension of a tensor, by key; the leading
        #: ones of others.
        self.kept: Dict[str, List[Tensor]] = {}
        #: Modules that are not narrowed.
        self.left: List[str] = []
        #: Modules whose leading outputs are not like the student's.
        self.unlike = self.flow.splits | _scores(student, teacher, self.flow)
        self.attention = tuple(f'{path}.' for path, module in self.own.items()
                               if is_attention(module))
        for path in self.flow.sources:
            self._plan(path)
        self._check_sums()
        if self.left:
            print_log(
                'attention, split or grouped outputs, and scores of other '
                f'classes are not narrowed: {", ".join(self.left[:20])}' +
                (', ...' if len(self.left) > 20 else ''), 'current')

    def _plan(self, path: str) -> None:
        """Choose the outputs of a module."""
        own, given = self.own[path], self.given.get(path)
        weight, wide = own.weight, getattr(given, 'weight', None)
        left = self._is_left(path)
        if left:
            self.left.append(path)
        if left or wide is None or wide.dim() != weight.dim():
            width = weight.size(_dims(own)[0])  # the student's own weights
            self.outputs[path] = torch.arange(width), width
            return
        if weight.dim() == 1:  # a normalisation
            inputs = self._inputs(path, len(weight), len(wide))
            self.outputs[path] = inputs, len(wide)
            for key, value in own.state_dict().items():
                if value.dim() == 1:
                    self.kept[f'{path}.{key}'] = [inputs]
            return
        to, from_ = _dims(own)
        if _is_depthwise(own):  # outputs belong to inputs
            inputs = torch.arange(1)
            outputs = self._inputs(path, len(weight), len(wide))
        else:
            inputs = self._inputs(path, weight.size(from_), wide.size(from_))
            outputs = self._outputs(wide, inputs, weight.size(to), to, from_)
        self.outputs[path] = outputs, wide.size(to)
        kept = [torch.arange(size) for size in weight.shape]
        kept[to], kept[from_] = outputs, inputs
        self.kept[f'{path}.weight'] = kept
        self.kept[f'{path}.bias'] = [outputs]

    def _is_left(self, path: str) -> bool:
        """Whether a module with a wider one in the teacher is not narrowed.
        """
        own: Any = self.own[path]
        given: Any = self.given.get(path)
        wide = getattr(given, 'weight', None)
        if wide is None or wide.shape == own.weight.shape or wide.dim() == 1:
            return False
        to = _dims(own)[0]
        grouped = getattr(
            own, 'groups',
            1) > 1 and not (_is_depthwise(own) and _is_depthwise(given))
        return (grouped or path.startswith(self.attention)
                or path in self.unlike and wide.size(to) > own.weight.size(to))

    def _inputs(self, path: str, count: int, wide: int) -> Tensor:
        """Indices of the kept inputs of a module, ``count`` of ``wide``."""
        parts = [
            self.outputs[source] for source in self.flow.sources[path]
            if source in self.outputs
        ]
        found, offset = [], 0
        for index, width in parts:
            found.append(index + offset)
            offset += width
        if parts and offset == wide and sum(map(len, found)) == count:
            return torch.cat(found)
        index, width = parts[0] if parts else (torch.arange(0), 0)
        height = wide // width if width else 0
        if height and width * height == wide and len(index) * height == count:
            heights = torch.arange(height)
            return ((index[:, None] * height +
                     heights) if self.bev_order == 'channel' else
                    (heights[:, None] * width + index)).flatten()
        return torch.arange(count)

    def _outputs(self, wide: Tensor, inputs: Tensor, count: int, to: int,
                 from_: int) -> Tensor:
        """Indices of the kept outputs of a weight."""
        if self.select == 'first' or count >= wide.size(to):
            return torch.arange(count)
        norms = wide.detach().float().abs().movedim((to, from_), (0, 1))
        norms = norms.index_select(1, inputs.to(norms.device)).flatten(1)
        return norms.sum(1).topk(count).indices.sort()[0].cpu()

    def _check_sums(self) -> None:
        for first, second in self.flow.sums:
            if first in self.outputs and second in self.outputs:
                one, other = self.outputs[first][0], self.outputs[second][0]
                if len(one) == len(other) and not one.equal(other):
                    raise ConfigError(
                        f"select='l1' does not serve the student: it adds the "
                        f'outputs of {first!r} and {second!r}, of which '
                        "different channels are kept; take select='first'")

    def part(self, key: str, given: Tensor,
             shape: Sequence[int]) -> Optional[Tensor]:
        """The part of a teacher's tensor that a student's starts with; None
        if it starts as initialised."""
        kept = self.kept.get(key)
        if kept is None or [len(x) for x in kept] != list(shape):
            if key.startswith(
                (*self.attention, *(f'{path}.' for path in self.left))):
                return None
            kept = [torch.arange(size) for size in shape]
        for dim, index in enumerate(kept):
            if len(index) < given.size(dim):
                given = given.index_select(dim, index.to(given.device))
        return given


def _scores(student: nn.Module, teacher: nn.Module, flow: Flow) -> Set[str]:
    """Last modules of the heads whose numbers of classes differ."""
    theirs = family_of(teacher).head_classes(teacher)
    heads = tuple(
        f'{path}.'
        for path, count in family_of(student).head_classes(student).items()
        if theirs.get(path) != count)
    read = set(sum(flow.sources.values(), []))
    return {x for x in flow.sources if x.startswith(heads) and x not in read}


def _is_depthwise(module: Any) -> bool:
    """Whether each output of a convolution reads the input of its index."""
    return not isinstance(module, _ConvTransposeNd) and (1 < getattr(
        module, 'groups', 1) == len(module.weight) == module.in_channels)


def _dims(module: nn.Module) -> Tuple[int, int]:
    """Dimensions of the outputs and of the inputs of a module's weight."""
    weight: Any = module.weight
    if weight.dim() == 1:
        return 0, 0
    if isinstance(module, _ConvTransposeNd):
        return 1, 0
    if weight.dim() == 5 and not isinstance(module, nn.Conv3d):
        # Sparse convolutions: those of mmcv, and of spconv 2.
        channels = (module.in_channels, module.out_channels)
        return (4, 3) if tuple(weight.shape[3:]) == channels else (0, 4)
    return 0, 1


def inherit(student: nn.Module, teacher: nn.Module, path: str,
            narrowing: Optional[Narrowing]) -> Inherited:
    """Copy the tensors of a module of the teacher to the student's.

    Args:
        student (nn.Module): The student.
        teacher (nn.Module): The teacher.
        path (str): The module.
        narrowing (Narrowing, optional): How wider tensors are narrowed;
            None leaves them.
    """
    target = student.get_submodule(path)
    given = teacher.get_submodule(path).state_dict()
    copies, counts = {}, [0, 0, 0]
    for key, value in target.state_dict().items():
        wide, part = given.get(key), None
        if wide is not None and wide.shape == value.shape:
            copies[key] = wide
            # Counters of batches, which all networks have, do not count.
            counts[0] += bool(value.dim())
            continue
        if narrowing is not None and wide is not None and (
                wide.dim() == value.dim()
                and all(x >= y for x, y in zip(wide.shape, value.shape))):
            part = narrowing.part(f'{path}.{key}', wide, value.shape)
        if part is not None:
            copies[key] = part
        counts[2 if part is None else 1] += bool(value.dim())
    target.load_state_dict(copies, strict=False)
    return Inherited(*counts)
