"""Compiling a student's backbone without losing its taps."""
import importlib.util
import logging
from typing import Any, Callable, Iterator, List, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmkd.core.speed import MAX_ERROR, MAX_ERROR_LOW, noise, relative_error
from mmkd.core.taps.dry_run import tensors_in
from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError
from mmkd.utils.nested import clone
from mmkd.utils.rng import preserve_rng

#: What the libraries call the backbones of their networks.
BACKBONES = ('backbone', 'img_backbone', 'pts_backbone')
#: Number of input shapes whose first step is checked. Torch compiles for the
#: first one, and then for variable sizes.
MAX_CHECKS = 8
#: Largest relative error of the gradients; and in low precision, where the
#: rounding of activations makes 0.14 in a ResNet-50 with bfloat16.
MAX_GRADIENT_ERROR, MAX_GRADIENT_ERROR_LOW = 1e-3, 0.3


def compiles_by_default() -> bool:
    """Whether ``--fast`` compiles: on a GPU that torch's compiler supports.

    On a CPU it takes minutes and gains little.
    """
    return (torch.cuda.is_available()
            and torch.cuda.get_device_capability() >= (7, 0)
            and importlib.util.find_spec('triton') is not None)


def compile_student(student: nn.Module, taps: Sequence[Tap],
                    backend: Union[bool, str]) -> bool:
    """Compile the backbone of a student for its training steps.

    A hook inside a compiled graph may never run. So each compiled part is a
    module without a tap inside: every tap is an input or output of a compiled
    graph, or lies between two, and gradients at a tap stay those of autograd.
    Evaluation and copies of the student are not compiled. For the checks, see
    :class:`CompiledForward`.

    Args:
        student (nn.Module): The student; its weights keep their names.
        taps (Sequence[Tap]): All of its taps.
        backend (bool | str): Backend of ``torch.compile``; True for its
            default, False to compile nothing.

    Returns:
        bool: Whether a part will be compiled.

    Raises:
        ConfigError: If there is no such backend.
    """
    if backend is False:
        return False
    known = torch.compiler.list_backends(exclude_tags=None)
    if backend is not True and backend not in known:
        raise ConfigError('compile_backbone is True, False or a backend of '
                          f'torch.compile ({", ".join(known)}), not '
                          f'{backend!r}')
    tapped = [tap.module for tap in taps]
    parts: List[CompiledForward] = []
    for name in BACKBONES:
        backbone = getattr(student, name, None)
        if isinstance(backbone, nn.Module):
            for path, module in _untapped(name, backbone, tapped):
                if 'forward' not in vars(module):  # not the same one again
                    CompiledForward(path, module,
                                    'inductor' if backend is True else backend,
                                    parts, path == name)
    if parts:
        print_log(
            f'torch.compile of {", ".join(part.path for part in parts)} in '
            'the first step of training, which may take minutes', 'current')
    else:
        print_log(
            f'nothing of the student ({type(student).__name__}) is compiled: '
            'it has no backbone with a part that contains no tap', 'current',
            logging.WARNING)
    return bool(parts)


class CompiledForward:
    """Replaces the ``forward`` of a module in training.

    The first steps with a shape compare it with the plain forward. All parts
    become plain again, with a warning, if compiling fails, or if outputs or
    gradients differ by more than :data:`~mmkd.core.speed.MAX_ERROR` or
    :data:`MAX_GRADIENT_ERROR` of their size.

    Args:
        path (str): Name of the module in messages.
        module (nn.Module): The module.
        backend (str): Backend of ``torch.compile``.
        parts (list[CompiledForward]): All parts; this one is added.
        whole (bool): Whether this is the whole backbone. If not, gradients at
            a tap before it may be measured through it, with
            ``retain_graph=True``. Torch allows this for graphs of one size
            only, and if their first backward pass does so.
    """

    def __init__(self, path: str, module: nn.Module, backend: str,
                 parts: List['CompiledForward'], whole: bool) -> None:
        self.path = path
        self._module = module
        self._plain = module.forward
        self._parts = parts
        self._whole = whole
        self._checked: List[List[torch.Size]] = []
        self._compiled = torch.compile(
            _own_code(self._plain, path),
            backend=backend,
            dynamic=None if whole else False,
            # Otherwise, dropout would draw other numbers.
            options={'fallback_random': True}
            if backend == 'inductor' else None)
        parts.append(self)
        module.forward = self

    def __reduce__(self) -> Tuple[Callable, tuple]:
        """A copy of the module, pickled or deep, is not compiled."""
        return _same, (self._plain, )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if (not self._module.training or not torch.is_grad_enabled()
                or torch.compiler.is_compiling()):  # a whole step
            return self._plain(*args, **kwargs)
        shapes = [tensor.shape for tensor in tensors_in([args, kwargs])]
        if shapes not in self._checked and len(self._checked) < MAX_CHECKS:
            self._checked.append(shapes)
            problem = self._problem(args, kwargs)
            if problem:
                for part in self._parts:
                    vars(part._module).pop('forward', None)
                print_log(
                    'the student stays as it is, without torch.compile of '
                    f'{self.path}: {problem}', 'current', logging.WARNING)
                return self._plain(*args, **kwargs)
        return self._compiled(*args, **kwargs)

    def _problem(self, args: tuple, kwargs: dict) -> str:
        """What is wrong with the compiled forward; empty if nothing."""
        try:
            wanted = self._values(self._plain, args, kwargs)
            found = self._values(self._compiled, args, kwargs)
        except Exception as error:  # of a compiler or of checkpointing
            reason = ' '.join(str(error).split())[:200]
            return f'{type(error).__name__}: {reason}'
        for what, new, old, limit in zip(('outputs', 'gradients'), found,
                                         wanted, self._limits(found[0])):
            worst = max(map(relative_error, new, old), default=0.)
            if worst > limit:
                return f'it would change {what} by {worst:.1g} of their size'
        return ''

    def _values(self, forward: Callable, args: tuple,
                kwargs: dict) -> Tuple[List[Tensor], List[Tensor]]:
        """The outputs; and all gradients of a weighted sum in one tensor,
        since single ones may be nothing but rounding errors."""
        joined: List[Tensor] = []
        buffers = [(x, x.clone()) for x in self._module.buffers()]
        # A network may write into its input.
        args, kwargs = clone(args), clone(kwargs)
        starts = [
            tensor for tensor in
            [*self._module.parameters(), *tensors_in([args, kwargs])]
            if tensor.requires_grad
        ]
        try:
            with preserve_rng():
                tensors = tensors_in(forward(*args, **kwargs))
                values = [tensor.detach().float() for tensor in tensors]
                ends = [tensor for tensor in tensors if tensor.requires_grad]
                if ends and starts:
                    gradients = torch.autograd.grad(
                        ends,
                        starts, [noise(tensor) for tensor in ends],
                        retain_graph=not self._whole,
                        allow_unused=True)
                    joined.append(
                        torch.cat([
                            gradient.flatten().float()
                            for gradient in gradients if gradient is not None
                        ]))
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)
        return values, joined

    def _limits(self, outputs: List[Tensor]) -> Tuple[float, float]:
        device = outputs[0].device.type if outputs else 'cpu'
        if torch.is_autocast_enabled(device) or (
                device == 'cuda' and torch.backends.cudnn.allow_tf32):
            return MAX_ERROR_LOW, MAX_GRADIENT_ERROR_LOW
        return MAX_ERROR, MAX_GRADIENT_ERROR


def _untapped(path: str, module: nn.Module,
              tapped: List[str]) -> Iterator[Tuple[str, nn.Module]]:
    """The largest modules with children, but without a tap inside."""
    inside = any(tap.startswith(f'{path}.') for tap in tapped)
    children = list(module.named_children())
    # Lists of modules are not called.
    if children and not inside and type(module).forward is not \
            nn.Module.forward:
        yield path, module
        return
    for name, child in children:
        yield from _untapped(f'{path}.{name}', child, tapped)


def _own_code(forward: Callable, name: str) -> Callable:
    """A function of its own code, by which torch counts its graphs and finds
    out which sizes vary; modules of one class share theirs."""

    def run(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    run.__code__ = run.__code__.replace(co_name=name.replace('.', '_'))
    return run


def _same(forward: Callable) -> Callable:
    return forward
