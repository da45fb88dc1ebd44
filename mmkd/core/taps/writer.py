"""Replacing the tensors of taps during a forward pass."""
from typing import Any, Callable, Dict, List, Optional, Sequence

from torch import Tensor, nn

from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError, TapError

#: Why a module that runs several times cannot be tapped, and the way out.
ONLY_ONCE = (
    'a module that runs several times in a forward pass cannot be replaced, '
    'but what goes into it can, such as the output of the neck')

#: Given a tap and its tensors, one per level: those that take their place.
Write = Callable[[Tap, List[Tensor]], Sequence[Tensor]]


def check_writable(taps: Sequence[Tap], name: str) -> None:
    """Check that the options of taps let them replace tensors.

    Args:
        taps (Sequence[Tap]): The taps.
        name (str): Name of the network in messages.

    Raises:
        ConfigError: If one has ``calls='all'`` or ``part``.
    """
    for tap in taps:
        if tap.calls != 'one':
            raise ConfigError(
                f'the tap {tap.path!r} of {name} cannot write with '
                f'`calls={tap.calls!r}`: {ONLY_ONCE}')
        if tap.part:
            raise ConfigError(f'the tap {tap.path!r} of {name} cannot write '
                              'with `part`; leave it out')


class TapWriter:
    """Context that replaces the tensors of taps in forward passes.

    The rest of the network computes on the new tensors, and gradients reach
    what they were made from. Hooks exist only inside the context; afterwards
    the network is as it was. Of several taps of a module, each gets the
    output that the ones before it have written.

    Args:
        network (nn.Module): The network that will run.
        taps (Sequence[Tap]): The taps to replace.
        name (str): Name of the network in messages.
        write (Callable): Returns the new tensors of a tap, of the same
            shapes; they are cast to the old types.

    Raises:
        ConfigError: If a module does not exist, or a tap cannot write.

    Examples:
        >>> with TapWriter(network, [tap], 'the teacher',
        ...                lambda tap, levels: [2 * x for x in levels]):
        ...     network(image)
    """

    def __init__(self, network: nn.Module, taps: Sequence[Tap], name: str,
                 write: Write) -> None:
        self.name = name
        self.write = write
        self._fired = dict.fromkeys(taps, 0)
        check_writable(taps, name)
        self._modules: Dict[Tap, nn.Module] = {
            tap: tap.resolve(network, name)
            for tap in self._fired
        }
        self._handles: list = []

    def __enter__(self) -> 'TapWriter':
        self._fired = dict.fromkeys(self._fired, 0)
        for tap, module in self._modules.items():
            if tap.where == 'output':
                handle = module.register_forward_hook(self._on_output(tap))
            else:
                handle = module.register_forward_pre_hook(
                    self._on_input(tap), with_kwargs=True)
            self._handles.append(handle)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        silent = [tap for tap, times in self._fired.items() if not times]
        if silent and kind is None:
            raise TapError(
                f'the tap {silent[0].path!r} of {self.name} never fired, so '
                'nothing was replaced: its parent does not call it, or calls '
                'its methods directly; tap a module inside of it')

    def _on_output(self, tap: Tap) -> Callable:

        def hook(module: nn.Module, args: tuple, output: Any) -> Any:
            return self._replace(tap, output)

        return hook

    def _on_input(self, tap: Tap) -> Callable:

        def hook(module: nn.Module, args: tuple, kwargs: dict) -> tuple:
            if args:
                return (self._replace(tap, args[0]), *args[1:]), kwargs
            first = next(iter(kwargs))
            return args, {**kwargs, first: self._replace(tap, kwargs[first])}

        return hook

    def _replace(self, tap: Tap, value: Any) -> Any:
        self._fired[tap] += 1
        levels = tap.select(value)
        written = list(self.write(tap, levels))
        shapes: List[Optional[list]] = [[tuple(x.shape) for x in tensors]
                                        for tensors in (levels, written)]
        if shapes[0] != shapes[1]:
            raise TapError(f'the tap {tap.path!r} of {self.name} has tensors '
                           f'of the shapes {shapes[0]}, but those that '
                           f'replace them have {shapes[1]}')
        return tap.replace_in(
            value, [new.to(old.dtype) for new, old in zip(written, levels)])
