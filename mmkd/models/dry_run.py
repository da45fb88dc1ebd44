"""One forward on a small made-up batch, to learn what the taps give."""
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

from mmkd.errors import ConfigError, TapError
from mmkd.taps import Tap, TapCatcher, TapSpec
from mmkd.taps.tap import describe
from mmkd.utils.rng import preserve_rng

Batch = Dict[str, Any]


def library_of(network: nn.Module) -> Optional[str]:
    """The OpenMMLab library whose conventions a network follows."""
    for cls in type(network).__mro__:
        package = cls.__module__.split('.')[0]
        if package in ('mmseg', 'mmdet', 'mmdet3d'):
            return package
    return None


def example_batch(network: nn.Module, size: Tuple[int, int]) -> Batch:
    """A batch of one made-up image, as a preprocessor would give it.

    Args:
        network (nn.Module): A model of mmseg or mmdet.
        size (tuple[int, int]): Height and width in pixels.

    Returns:
        dict: ``inputs`` of shape (1, C, H, W) and ``data_samples`` with
        ground truth.

    Raises:
        ConfigError: If the network is of another library.
    """
    height, width = size
    library = library_of(network)
    channels = 3
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            channels = module.in_channels
            break
    meta = dict(
        img_shape=size,
        ori_shape=size,
        pad_shape=size,
        batch_input_shape=size,
        scale_factor=(1.0, 1.0),
        flip=False,
        img_id=0,
        img_path='')
    parameter = next(network.parameters(), torch.zeros(()))
    device = parameter.device
    inputs = torch.zeros((1, channels, height, width), device=device)
    if library == 'mmseg':
        from mmseg.structures import SegDataSample
        labels = torch.zeros((1, height, width), dtype=torch.long)
        sample = SegDataSample(
            metainfo=meta, gt_sem_seg=PixelData(data=labels))
    elif library == 'mmdet':
        from mmdet.structures import DetDataSample
        from mmdet.structures.mask import BitmapMasks
        box = torch.tensor([[0.25 * width, 0.25 * height, 0.75 * width,
                             0.75 * height]])
        masks = BitmapMasks(
            torch.ones((1, height, width), dtype=torch.uint8).numpy(), height,
            width)
        sample = DetDataSample(
            metainfo=meta,
            gt_instances=InstanceData(
                bboxes=box, labels=torch.zeros(1, dtype=torch.long),
                masks=masks),
            ignored_instances=InstanceData(
                bboxes=box[:0], labels=torch.zeros(0, dtype=torch.long)),
            gt_sem_seg=PixelData(
                data=torch.zeros((1, height, width), dtype=torch.long)))
    else:
        raise ConfigError(
            f'{type(network).__name__} is no model of mmseg or mmdet; give '
            '`dry_run` a raw batch (what its data loader yields) to find the '
            'shapes of its taps')
    return dict(inputs=inputs, data_samples=[sample.to(device)])


def tensors_in(value: Any) -> List[Tensor]:
    """All tensors of nested lists, tuples and dicts."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in tensors_in(item)]
    return []


@contextmanager
def untouched(network: nn.Module) -> Iterator[None]:
    """Eval mode without gradient; modes and buffers as before on exit."""
    modes = {module: module.training for module in network.modules()}
    buffers = {
        buffer: (buffer._version, buffer.clone())
        for buffer in network.buffers()
    }
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        with torch.no_grad():
            for buffer, (version, value) in buffers.items():
                if buffer._version != version:
                    buffer.copy_(value)


class DryRun:
    """What one forward showed of a network.

    Attributes:
        specs (dict[Tap, list[TapSpec]]): Shapes of each tap, a level each.
        counts (dict[Tap, int]): How often each tap fired.
        overwritten (list[Tap]): Taps whose tensor a later layer wrote into.
        writes_input (bool): Whether the network wrote into its input.
    """

    def __init__(self) -> None:
        self.specs: Dict[Tap, List[TapSpec]] = {}
        self.counts: Dict[Tap, int] = {}
        self.overwritten: List[Tap] = []
        self.writes_input = False


def dry_run(network: nn.Module,
            taps: Sequence[Tap],
            name: str,
            modes: Sequence[str],
            size: Tuple[int, int],
            batch: Optional[Batch] = None) -> DryRun:
    """Run a network once and note what its taps give.

    The network is in eval mode, its buffers and the random state of the
    caller (see :func:`~mmkd.utils.rng.preserve_rng`) are not the business of
    this function's result: modes and buffers are put back.

    Args:
        network (nn.Module): The network.
        taps (Sequence[Tap]): What to look at.
        name (str): What to call the network in messages.
        modes (Sequence[str]): Modes of ``forward`` to try in turn; the first
            one in which the network runs and every tap fires is taken.
        size (tuple[int, int]): Height and width of the made-up image.
        batch (dict, optional): A prepared batch in place of the made-up one.
            Defaults to None.

    Raises:
        TapError: If a tap does not fire, or more often than expected.
        ConfigError: If the network does not run.
    """
    batch = example_batch(network, size) if batch is None else batch
    inputs = tensors_in(batch['inputs'])
    image = next((x for x in inputs if x.dim() == 4), None)
    input_size = tuple(image.shape[-2:]) if image is not None else None
    failure: Optional[Exception] = None
    for mode in modes:
        result = DryRun()
        versions = [tensor._version for tensor in inputs]
        catcher = TapCatcher(network, taps, name)
        try:
            with untouched(network), catcher:
                network(
                    batch['inputs'], batch.get('data_samples'), mode=mode)
            result.overwritten = catcher.overwritten
            result.counts = catcher.fired
            caught = catcher.take(check_overwritten=False)
        except TapError as error:
            failure = error
            continue
        except Exception as error:
            print_log(
                f'{name}: the dry run in mode {mode!r} failed: {error!r}',
                'current')
            failure = failure or ConfigError(
                f'{name} ({type(network).__name__}) does not run on a '
                f'{size[0]}x{size[1]} image: {type(error).__name__}: '
                f'{str(error)[:200]}; `dry_run_size` sets another size')
            continue
        for tap, tensors in caught.items():
            levels = len(tensors) > 1
            result.specs[tap] = [
                TapSpec(
                    f'{tap.path}[{i}]' if levels else tap.path,
                    tuple(tensor.shape), tensor.dtype, input_size)
                for i, tensor in enumerate(tensors)
            ]
        result.writes_input = versions != [t._version for t in inputs]
        return result
    raise failure


def trace(network: nn.Module, name: str,
          size: Tuple[int, int]) -> List[Tuple[str, str, int, str]]:
    """Run a network once and note every module that is called.

    Args:
        network (nn.Module): A model of mmseg or mmdet.
        name (str): What to call it in messages.
        size (tuple[int, int]): Height and width in pixels of the image.

    Returns:
        list[tuple]: Path, class, number of calls, and what it gave, for each
        module in the order of the first call's end.
    """
    names = {module: path for path, module in network.named_modules() if path}
    calls: Dict[str, int] = {}
    rows: Dict[str, Tuple[str, str]] = {}

    def hook(module: nn.Module, args: tuple, output: Any) -> None:
        path = names[module]
        calls[path] = calls.get(path, 0) + 1
        rows.setdefault(path, (type(module).__name__, describe(output)))

    batch = example_batch(network, size)
    handles = [module.register_forward_hook(hook) for module in names]
    try:
        with preserve_rng(), untouched(network):
            try:
                network(batch['inputs'], batch['data_samples'], mode='loss')
            except Exception as error:
                print_log(f'{name}: no loss on made-up data: {error!r}',
                          'current')
                network(batch['inputs'], batch['data_samples'], mode='tensor')
    finally:
        for handle in handles:
            handle.remove()
    return [(path, kind, calls[path], what)
            for path, (kind, what) in rows.items()]
