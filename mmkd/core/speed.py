"""Making a frozen teacher cheaper without changing what it says."""
import copy
import functools
import logging
import math
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmkd.core.fold import Folding, foldable_pairs
from mmkd.core.layout import in_layout, set_layout
from mmkd.core.taps import Tap, TapCatcher, TapSpec
from mmkd.core.taps.dry_run import Batch, untouched
from mmkd.core.teacher import Teacher
from mmkd.utils.devices import on_device, training_device
from mmkd.utils.nested import clone
from mmkd.utils.rng import preserve_rng

#: Largest relative error of a tap from another order of additions.
MAX_ERROR = 1e-4
#: The same in half precision; bfloat16 has 0.04 to 0.06 on trained networks.
MAX_ERROR_LOW = 0.1
#: Standard places with features. Others hold scores, or are not known.
_FEATURES = ('features', 'stages', 'neck', 'embeddings')


@functools.lru_cache(maxsize=None)
def fast_dtype(device: str) -> Optional[torch.dtype]:
    """bfloat16 if a type of device computes in it natively, else None.

    The capability alone decides, never a timing, so that a run is the same
    twice.
    """
    if device == 'cuda':
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device == 'cpu' and (torch.cpu._is_avx512_bf16_supported()
                                      or torch.cpu._is_amx_tile_supported())
    return torch.bfloat16 if native else None


def speed_up(teacher: Teacher, specs: Dict[Tap, List[TapSpec]],
             counts: Dict[Tap, int], batch: Batch) -> None:
    """Apply a teacher's options ``fold``, ``channels_last`` and
    ``precision='auto'``.

    Each change is tried on random pixels. It is undone, with a warning, if a
    tap differs by more than :data:`MAX_ERROR` or, in half precision,
    :data:`MAX_ERROR_LOW`. What was done is logged in one line.

    Args:
        teacher (Teacher): The teacher; its network is changed in place. A
            network that was given as a built one belongs to the user and
            keeps its weights.
        specs (dict[Tap, list[TapSpec]]): Specs of its taps.
        counts (dict[Tap, int]): Number of times each tap fires.
        batch (dict): The batch of its dry run.
    """
    own = not teacher.given and (teacher.fold or teacher.channels_last)
    device = teacher.device or training_device()
    dtype = fast_dtype(device.type) \
        if teacher.precision == 'auto' and not teacher.stays_in_float32 \
        else None
    if not specs or not (own or dtype):
        return
    batch = dict(batch, inputs=noise(batch['inputs']))
    names = [spec.path for levels in specs.values() for spec in levels]

    def run() -> List[Tensor]:
        with preserve_rng(), on_device(teacher.network,
                                       device), untouched(teacher.network):
            # Some networks, such as PointPillars, write into their input.
            caught = teacher.extract(
                clone(batch['inputs']), batch.get('data_samples'), list(specs),
                counts)
        return [tensor.float() for tap in specs for tensor in caught[tap]]

    before: List[Tensor] = []
    pairs = foldable_pairs(teacher.network, list(specs),
                           lambda: before.extend(run()))
    for what, apply, undo, limit in _changes(
            teacher, pairs,
            dtype if _features_of_images(specs, batch) else None):
        apply()
        try:
            worst, name = max(zip(map(relative_error, run(), before), names))
        except RuntimeError as error:  # an operator without bfloat16
            worst, name = math.inf, str(error)
        if worst <= limit:
            teacher.changes.append(what)
            continue
        undo()
        print_log(
            f'teacher {teacher.name!r}: not {what}, which would change {name} '
            f'by {worst:.1g} of its size', 'current', logging.WARNING)
    if teacher.changes:
        print_log(
            f'teacher {teacher.name!r} runs faster: '
            f'{", ".join(teacher.changes)}; '
            '`fold=False, channels_last=False, precision=None` leaves it as '
            'it is', 'current')


def student_in_channels_last(student: nn.Module, taps: List[Tap],
                             counts: Dict[Tap, int], batch: Batch) -> bool:
    """Store a student's convolutions in channels_last, unless this changes a
    tap by more than :data:`MAX_ERROR`, or it does not run on random pixels;
    a warning says so.

    Args:
        student (nn.Module): The student.
        taps (list[Tap]): Its taps.
        counts (dict[Tap, int]): Number of times each tap fires.
        batch (dict): The batch of its dry run.

    Returns:
        bool: Whether they are stored so.
    """
    probe = copy.deepcopy(student)  # a network may keep counters
    inputs = noise(batch['inputs'])

    def run(layout: torch.memory_format) -> List[Tensor]:
        set_layout(probe, layout)
        with preserve_rng(), on_device(probe, training_device()), untouched(
                probe, True):
            catcher = TapCatcher(probe, taps, 'the student', counts)
            with catcher:
                probe(
                    in_layout(clone(inputs), layout),
                    batch.get('data_samples'),
                    mode='loss')
        caught = catcher.take()
        return [tensor for tap in taps for tensor in caught[tap]]

    try:
        before = run(torch.contiguous_format)
        worst = max(
            map(relative_error, run(torch.channels_last), before), default=0.)
        problem = f'it would change its taps by {worst:.1g} of their size'
    except Exception as error:  # of the libraries' code, on random pixels
        worst = math.inf
        problem = f'the check failed: {type(error).__name__}: {error}'
    if worst > MAX_ERROR:
        print_log(
            f'{type(student).__name__} stays as it is, without channels_last: '
            f'{problem}', 'current', logging.WARNING)
        return False
    set_layout(student, torch.channels_last)
    return True


def _changes(
    teacher: Teacher, pairs: list, dtype: Optional[torch.dtype]
) -> Iterator[Tuple[str, Callable[[], None], Callable[[], None], float]]:
    """Description of a change, how to make and undo it, and the largest
    relative error that it may cause."""
    if teacher.fold and not teacher.given and pairs:
        yield (f'{len(pairs)} batch normalisations folded',
               functools.partial(teacher.fold_in,
                                 Folding(pairs)), teacher.unfold, MAX_ERROR)
    if teacher.channels_last and not teacher.given and _is_conv_net(
            teacher.network):
        yield ('channels_last',
               functools.partial(teacher.set_layout, torch.channels_last),
               functools.partial(teacher.set_layout,
                                 torch.contiguous_format), MAX_ERROR)
    if dtype is not None:
        yield (str(dtype).split('.')[-1],
               functools.partial(setattr, teacher, 'low_precision', dtype),
               functools.partial(setattr, teacher, 'low_precision',
                                 None), MAX_ERROR_LOW)


def _features_of_images(specs: Dict[Tap, List[TapSpec]], batch: Batch) -> bool:
    """Whether all taps hold features, and the input is an image."""
    inputs = batch['inputs']
    return isinstance(inputs, Tensor) and inputs.dim() == 4 and all(
        spec.kind in _FEATURES for levels in specs.values() for spec in levels)


def _is_conv_net(network: nn.Module) -> bool:
    """Whether most of its parameters are those of 2D convolutions."""
    convs = {
        p
        for module in network.modules() if isinstance(module, nn.Conv2d)
        for p in module.parameters(recurse=False)
    }
    return sum(p.numel()
               for p in convs) > sum(p.numel()
                                     for p in network.parameters()) / 2


def noise(inputs: Any) -> Any:
    """Images of fixed random pixels, since a constant image hides errors;
    other inputs as they are."""
    if not isinstance(inputs, Tensor):
        return inputs
    generator = torch.Generator().manual_seed(0)
    return torch.randn(inputs.shape, generator=generator).to(inputs)


def relative_error(after: Tensor, before: Tensor) -> float:
    """Relative error of a tensor; infinite if a value is not finite."""
    error = (after - before).norm() / before.norm().clamp(min=1e-12)
    return float(error.nan_to_num(nan=torch.inf))
