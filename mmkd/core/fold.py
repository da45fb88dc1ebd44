"""Folding batch normalisation into the convolutions of a frozen network."""
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

import torch
from mmcv.cnn.bricks.wrappers import Conv2d as MMCVConv2d
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from mmkd.core.taps.dry_run import tensors_in
from mmkd.core.taps.tap import Tap

# Known forward passes; a class with another one may compute anything.
_CONV_FORWARDS = (nn.Conv2d.forward, MMCVConv2d.forward)
_NORM_FORWARDS = (nn.BatchNorm2d.forward, nn.SyncBatchNorm.forward)

#: The module that has a child, and the name of the child in it.
Place = Tuple[nn.Module, str]


@dataclass
class _Pair:
    """A convolution, the normalisation of its output, and where that is."""
    conv: nn.Conv2d
    norm: nn.Module
    place: Place
    weight: nn.Parameter
    bias: Optional[nn.Parameter]
    #: Weight and bias with the normalisation in them, while they are not in
    #: the convolution.
    folded: Optional[Tuple[Any, Any]] = None


class Folding:
    """Convolutions that compute their batch normalisation as well.

    ``w' = w * gamma / sqrt(var + eps)`` and ``b' = (b - mean) * gamma /
    sqrt(var + eps) + beta``, computed in float64. The normalisation becomes
    an identity.

    Args:
        pairs (list): Result of :func:`foldable_pairs`.
    """

    def __init__(self, pairs: List[_Pair]) -> None:
        self._pairs = pairs

    @torch.no_grad()
    def apply(self) -> None:
        """Fold. After :meth:`undo`, the same parameters come back, wherever
        and however the network has stored them since."""
        for pair in self._pairs:
            pair.conv.weight, pair.conv.bias = pair.folded or _folded(pair)
            owner, name = pair.place
            owner._modules[name] = nn.Identity().eval()

    def undo(self) -> None:
        """Put the original weights and normalisation back."""
        for pair in self._pairs:
            pair.folded = pair.conv.weight, pair.conv.bias
            pair.conv.weight, pair.conv.bias = pair.weight, pair.bias
            owner, name = pair.place
            owner._modules[name] = pair.norm


def _folded(pair: _Pair) -> Tuple[nn.Parameter, nn.Parameter]:
    norm: Any = pair.norm
    mean, var = norm.running_mean.double(), norm.running_var.double()
    scale = (var + norm.eps).rsqrt()
    shift = -mean if pair.bias is None else pair.bias.double() - mean
    if norm.affine:
        scale = scale * norm.weight.double()
    bias = shift * scale
    if norm.affine:
        bias = bias + norm.bias.double()
    weight = pair.weight.double() * scale[:, None, None, None]
    dtype = pair.weight.dtype
    return (nn.Parameter(weight.to(dtype), requires_grad=False),
            nn.Parameter(bias.to(dtype), requires_grad=False))


class _Uses(TorchDispatchMode):
    """Record which normalisation reads each convolution in a forward pass.

    Attributes:
        readers (dict): What reads the output of each convolution: modules of
            batch normalisation, and None for anything else.
        sources (dict): The convolutions whose outputs each normalisation
            reads, and None for anything else.
    """

    def __init__(self, convs: Sequence[nn.Module],
                 norms: Sequence[nn.Module]) -> None:
        super().__init__()
        self.readers: Dict[nn.Module, Set[Optional[nn.Module]]] = {}
        self.sources: Dict[nn.Module, Set[Optional[nn.Module]]] = {}
        # Kept, since a new tensor could have the id of a deleted one.
        self._outputs: Dict[int, Tuple[Tensor, nn.Module]] = {}
        self._norm: Optional[nn.Module] = None
        self._handles = [
            *(conv.register_forward_hook(self._after_conv) for conv in convs),
            *(norm.register_forward_pre_hook(self._before_norm)
              for norm in norms),
            *(norm.register_forward_hook(self._after_norm) for norm in norms)
        ]

    def __exit__(self, *args: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._outputs.clear()
        super().__exit__(*args)

    def _after_conv(self, conv: nn.Module, args: tuple, output: Any) -> None:
        self._outputs[id(output)] = output, conv

    def _before_norm(self, norm: nn.Module, args: tuple) -> None:
        _, conv = self._outputs.get(id(args[0]), (None, None))
        self.sources.setdefault(norm, set()).add(conv)
        if conv is not None:
            self.readers.setdefault(conv, set()).add(norm)
        self._norm = norm

    def _after_norm(self, norm: nn.Module, args: tuple, output: Any) -> None:
        self._norm = None

    def __torch_dispatch__(self,
                           func: Any,
                           types: Any,
                           args: tuple = (),
                           kwargs: Optional[dict] = None) -> Any:
        if self._norm is None:
            for tensor in tensors_in([args, kwargs or {}]):
                found = self._outputs.get(id(tensor))
                if found:
                    self.readers.setdefault(found[1], set()).add(None)
        return func(*args, **(kwargs or {}))


def foldable_pairs(network: nn.Module, taps: Sequence[Tap],
                   run: Callable[[], Any]) -> List[_Pair]:
    """Find the convolutions into which their normalisation can be folded.

    A pair counts if, in a forward pass, the normalisation is all that reads
    the convolution and reads nothing else. This leaves out RTMDet's head,
    whose levels share convolutions but not their normalisation. A pair with a
    tap, a module in two places, a weight in two modules, and a subclass of
    the known layers are left out as well.

    Args:
        network (nn.Module): The network, in eval mode.
        taps (Sequence[Tap]): Its taps.
        run (Callable): Runs the network once, as far as its last tap.
    """
    places: Dict[nn.Module, List[Place]] = {}
    owners: Dict[nn.Parameter, Set[nn.Module]] = {}
    for module in network.modules():
        for name, child in module._modules.items():
            if child is not None:
                places.setdefault(child, []).append((module, name))
        for parameter in module._parameters.values():
            if parameter is not None:
                owners.setdefault(parameter, set()).add(module)
    tapped = {tap.resolve(network, 'the teacher') for tap in taps}

    def single(module: nn.Module) -> bool:
        return len(places[module]) == 1 and module not in tapped and all(
            len(owners[parameter]) == 1
            for parameter in module.parameters(recurse=False)
        ) and not module._forward_pre_hooks and not module._forward_hooks

    convs = [
        x for x in places if isinstance(x, nn.Conv2d)
        and type(x).forward in _CONV_FORWARDS and single(x)
    ]
    norms = [
        x for x in places
        if isinstance(x, _BatchNorm) and type(x).forward in _NORM_FORWARDS
        and single(x) and not x.training and x.running_mean is not None
    ]
    with _Uses(convs, norms) as uses:
        run()
    return [
        _Pair(conv, norm, places[norm][0], conv.weight, conv.bias)
        for norm, sources in uses.sources.items() for conv in sources
        if len(sources) == 1 and conv is not None
        and uses.readers[conv] == {norm}
    ]
