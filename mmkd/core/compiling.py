"""Compiling a student's backbone without losing its taps."""
import importlib.util
import logging
from typing import Any, Callable, Iterator, List, Sequence, Tuple, Union

import torch
import torch._functorch.config
from mmengine.logging import print_log
from torch import Tensor, nn

from mmkd.core.speed import MAX_ERROR, MAX_ERROR_LOW, noise, relative_error
from mmkd.core.taps.dry_run import tensors_in
from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError
from mmkd.utils.nested import clone
from mmkd.utils.rng import preserve_rng, random_state, set_random_state

#: What the libraries call the backbones of their networks.
BACKBONES = ('backbone', 'img_backbone', 'pts_backbone')
#: Number of input shapes whose first step is checked. Torch compiles for the
#: first one, and then for variable sizes.
MAX_CHECKS = 8


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
    module without a tap inside, and every tap is an input or output of a
    compiled graph, or lies between two. Evaluation and copies of the student
    are not compiled. For the checks, see :class:`CompiledForward`.

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
    tapped = [f'{tap.module}.' for tap in taps]
    parts: List[CompiledForward] = []
    for name in BACKBONES:
        backbone = getattr(student, name, None)
        if isinstance(backbone, nn.Module):
            for path, module in _untapped(name, backbone, tapped):
                if 'forward' not in vars(module):  # not the same one again
                    CompiledForward(path, module,
                                    'inductor' if backend is True else backend,
                                    parts)
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

    The first step with a shape also runs the plain forward. All parts become
    plain again, with a warning, if compiling fails, or if outputs or
    gradients differ by more than :data:`~mmkd.core.speed.MAX_ERROR` (in low
    precision :data:`~mmkd.core.speed.MAX_ERROR_LOW`) of their size.

    Args:
        path (str): Name of the module in messages.
        module (nn.Module): The module.
        backend (str): Backend of ``torch.compile``.
        parts (list[CompiledForward]): All parts; this one is added.
    """

    def __init__(self, path: str, module: nn.Module, backend: str,
                 parts: List['CompiledForward']) -> None:
        self.path = path
        self._module = module
        self._plain = module.forward
        self._parts = parts
        self._checked: List[List[torch.Size]] = []
        # Otherwise, dropout would draw other numbers than without compiling.
        options = {'fallback_random': True} if backend == 'inductor' else None
        self._compiled = torch.compile(
            _own_code(self._plain, path), backend=backend, options=options)
        parts.append(self)
        module.forward = self  # type: ignore[assignment]

    def __reduce__(self) -> Tuple[Callable, tuple]:
        """A copy of the module, pickled or deep, is not compiled."""
        return _same, (self._plain, )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if (not self._module.training or not torch.is_grad_enabled()
                or torch.compiler.is_compiling()):  # a whole step
            return self._plain(*args, **kwargs)
        shapes = [tensor.shape for tensor in tensors_in([args, kwargs])]
        if shapes in self._checked or len(self._checked) == MAX_CHECKS:
            return self._run(*args, **kwargs)
        self._checked.append(shapes)
        return self._run_checked(args, kwargs)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        # Automatic weights measure gradients with retain_graph=True, which
        # the memory that is saved by donated buffers does not allow.
        with torch._functorch.config.patch(donated_buffer=False):
            return self._compiled(*args, **kwargs)

    def _run_checked(self, args: tuple, kwargs: dict) -> Any:
        buffers = [buffer.clone() for buffer in self._module.buffers()]
        state = random_state()
        # A network may write into its input.
        given = clone([args, kwargs])
        with preserve_rng():
            wanted = self._values(self._plain(*given[0], **given[1]), given)
        self._restore(buffers)
        try:
            outputs = self._run(*args, **kwargs)
            found = self._values(outputs, [args, kwargs])
            error = max(map(relative_error, found, wanted), default=0.)
            if error <= self._limit(found):
                return outputs
            problem = f'it would change its results by {error:.1g} of their ' \
                'size'
        except Exception as failure:  # of a compiler
            problem = f'{type(failure).__name__}: ' + ' '.join(
                str(failure).split())[:200]
        self._restore(buffers)
        set_random_state(state)
        for part in self._parts:
            vars(part._module).pop('forward', None)
        print_log(
            f'the student stays as it is, without torch.compile of '
            f'{self.path}: {problem}', 'current', logging.WARNING)
        return self._plain(*args, **kwargs)

    def _values(self, outputs: Any, inputs: Any) -> List[Tensor]:
        """The outputs, and all gradients of a weighted sum in one tensor,
        since single ones may be nothing but rounding errors."""
        tensors = tensors_in(outputs)
        ends = [tensor for tensor in tensors if tensor.requires_grad]
        starts = [
            tensor
            for tensor in [*self._module.parameters(), *tensors_in(inputs)]
            if tensor.requires_grad
        ]
        values = [tensor.detach().float() for tensor in tensors]
        if ends and starts:
            gradients = torch.autograd.grad(
                ends,
                starts, [noise(tensor) for tensor in ends],
                retain_graph=True,
                allow_unused=True)
            values.append(
                torch.cat([
                    torch.zeros(start.numel(), device=start.device)
                    if gradient is None else gradient.flatten().float()
                    for start, gradient in zip(starts, gradients)
                ]))
        return values

    def _limit(self, found: List[Tensor]) -> float:
        device = found[0].device.type if found else 'cpu'
        low = torch.is_autocast_enabled(device) or (
            device == 'cuda' and torch.backends.cudnn.allow_tf32)
        return MAX_ERROR_LOW if low else MAX_ERROR

    @torch.no_grad()
    def _restore(self, values: List[Tensor]) -> None:
        for buffer, value in zip(self._module.buffers(), values):
            buffer.copy_(value)


def _untapped(path: str, module: nn.Module,
              tapped: List[str]) -> Iterator[Tuple[str, nn.Module]]:
    """The largest modules with children, but without a tap inside."""
    inside = any(
        tap.startswith(f'{path}.') and tap != f'{path}.' for tap in tapped)
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
