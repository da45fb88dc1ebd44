"""Capturing the tensors of taps during a forward pass."""
from typing import Any, Dict, List, Optional, Sequence, Tuple

from torch import Tensor, nn

from mmkd.core.taps.tap import Tap
from mmkd.errors import TapError
from mmkd.utils.suggestions import did_you_mean


class _AllCaught(BaseException):
    """Ends a forward pass after the last tap.

    Not an ``Exception``, so that no handler inside a network catches it.
    """


class TapCatcher:
    """Context that captures tensors in a forward pass of a network.

    Hooks exist only inside the context, and :meth:`take` hands over the
    captured tensors, so that the network holds neither between two steps.

    Args:
        network (nn.Module): The network that will run.
        taps (Sequence[Tap]): The taps to capture.
        name (str): Name of the network in messages.
        counts (dict[Tap, int], optional): Number of times each tap fires in a
            forward pass, which ends once every tap has fired that often.
            Defaults to None: the forward pass is complete.

    Raises:
        ConfigError: If a module does not exist.

    Examples:
        >>> with TapCatcher(network, [tap], 'student') as caught:
        ...     network(image)
        >>> feats = caught.take()[tap]
    """

    def __init__(self,
                 network: nn.Module,
                 taps: Sequence[Tap],
                 name: str,
                 counts: Optional[Dict[Tap, int]] = None) -> None:
        self.network = network
        self.name = name
        self.counts = counts
        self.taps = list(dict.fromkeys(taps))
        self._by_module: Dict[Tuple[str, str], List[Tap]] = {}
        for tap in self.taps:
            self._by_module.setdefault((tap.module, tap.where), []).append(tap)
        self._modules = {
            tap.module: tap.resolve(network, name)
            for tap in self.taps
        }
        self._handles: list = []
        self._tensors: Dict[Tap, List[Tensor]] = {}
        self._versions: Dict[Tap, List[int]] = {}
        self._fired: Dict[Tap, int] = {}
        self._left = 0

    def __enter__(self) -> 'TapCatcher':
        self._tensors = {tap: [] for tap in self.taps}
        self._versions = {tap: [] for tap in self.taps}
        self._fired = dict.fromkeys(self.taps, 0)
        self._left = sum(self.counts[tap]
                         for tap in self.taps) if self.counts else 0
        for (path, where), taps in self._by_module.items():
            module = self._modules[path]
            if where == 'output':
                handle = module.register_forward_hook(self._on_output(taps))
            else:
                handle = module.register_forward_pre_hook(
                    self._on_input(taps), with_kwargs=True)
            self._handles.append(handle)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        return kind is _AllCaught

    def _on_output(self, taps: List[Tap]):

        def hook(module: nn.Module, args: tuple, output: Any) -> None:
            self._catch(module, taps, output)

        return hook

    def _on_input(self, taps: List[Tap]):

        def hook(module: nn.Module, args: tuple, kwargs: dict) -> None:
            self._catch(module, taps,
                        args[0] if args else next(iter(kwargs.values())))

        return hook

    def _catch(self, module: nn.Module, taps: List[Tap], value: Any) -> None:
        for tap in taps:
            self._fired[tap] += 1
            if tap.calls == 'one' and self._fired[tap] > 1:
                continue
            tensors = tap.select(value)
            if tap.part and module.training:
                part, count = tap.part
                tensors = [tensor.chunk(count)[part] for tensor in tensors]
            if tap.copy:
                tensors = [tensor.clone() for tensor in tensors]
            self._tensors[tap] += tensors
            self._versions[tap] += [tensor._version for tensor in tensors]
        if self.counts is not None:
            self._left -= len(taps)
            if self._left <= 0:
                raise _AllCaught

    @property
    def fired(self) -> Dict[Tap, int]:
        """Number of times each tap fired."""
        return dict(self._fired)

    @property
    def overwritten(self) -> List[Tap]:
        """Taps whose tensor was modified after it was captured."""
        return [
            tap for tap in self.taps
            if any(tensor._version != version for tensor, version in zip(
                self._tensors[tap], self._versions[tap]))
        ]

    def take(self, check_overwritten: bool = True) -> Dict[Tap, List[Tensor]]:
        """Return the captured tensors and release them.

        Args:
            check_overwritten (bool): Whether a tensor that was modified since
                is an error. Defaults to True.

        Returns:
            dict[Tap, list[Tensor]]: The tensors of each tap, one per level.

        Raises:
            TapError: If a tap did not fire, fired more often than expected,
                or holds a tensor that a later layer has modified.
        """
        for tap in self.taps:
            if self._fired[tap] == 0:
                raise TapError(self._silent(tap))
            if tap.calls == 'one' and self._fired[tap] > 1:
                raise TapError(
                    f'the tap {tap.path!r} of {self.name} fired '
                    f'{self._fired[tap]} times in one forward where one was '
                    f"expected; write dict(module='{tap.path}', "
                    "calls='all') to get the tensors of all calls as levels")
        if check_overwritten and self.overwritten:
            tap = self.overwritten[0]
            raise TapError(
                f'the tensor of the tap {tap.path!r} of {self.name} was '
                'written into by a later layer (an in-place ReLU?); write '
                f"dict(module='{tap.path}', copy=True)")
        tensors, self._tensors = self._tensors, {}
        self._versions = {}
        return tensors

    def _silent(self, tap: Tap) -> str:
        module = self._modules[tap.module]
        children = [name for name, _ in module.named_children()]
        # Prefer modules that produce class scores.
        children.sort(key=lambda name: name not in ('conv_seg', 'conv_cls'))
        if children:
            inside = [f'{tap.module}.{name}' for name in children[:4]]
            hint = f'Tap a module inside of it, such as {", ".join(inside)}.'
        else:
            hint = did_you_mean(tap.module, [
                name for name, _ in self.network.named_modules()
                if name != tap.module
            ])
        return (f'the tap {tap.path!r} of {self.name} never fired: its '
                'parent does not call it, or calls its methods directly. '
                f'{hint}')
