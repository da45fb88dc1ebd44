"""A teacher's tensors, computed once for each input."""
import copy
import math
import os.path as osp
import time
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor

from mmkd.core.cache.frames import (Frames, batch_size_of, image_frames,
                                    other_frames, prepared_image,
                                    without_truth)
from mmkd.core.cache.keys import fingerprint, library_versions, weights_hash
from mmkd.core.cache.records import STORED, Stored, join
from mmkd.core.cache.store import Record, Store, bytes_in
from mmkd.core.taps.dry_run import untouched
from mmkd.core.taps.tap import Tap, TapSpec
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.utils.arguments import with_reason
from mmkd.utils.devices import on_device, training_device
from mmkd.utils.files import write_json
from mmkd.utils.rng import preserve_rng

#: What a folder of records says of them.
ABOUT = 'about.json'
#: Height and width in pixels of the image that is tried; a multiple of the
#: strides.
_TRIAL = 256
#: Relative difference of two runs on a GPU, which dropout exceeds.
_TOLERANCE = 0.05
#: Seconds after which a miss looks for records of other processes.
_REFRESH = 30.


@dataclass
class CacheOptions:
    """Options of a teacher's ``cache``.

    Attributes:
        dir (str): Its folder. Teachers and runs may share it: records of
            another teacher lie in another folder inside.
        dtype (str): How values are stored: ``'int8'`` with a scale for each
            image and channel, ``'fp16'`` or ``'fp32'``. Defaults to
            ``'int8'``.
        max_gb (float): Size, in gigabytes, of what the whole folder held when
            the run began and of what this teacher added, above which it
            stores nothing more. Defaults to 50.
        views (int, optional): Number of random versions of each sample that
            recur, for pipelines that never give the same one twice. Defaults
            to None: the pipeline as it is.
    """
    dir: str = ''
    dtype: str = 'int8'
    max_gb: float = 50.
    views: Optional[int] = None

    def __post_init__(self) -> None:
        self.dir = osp.expanduser(self.dir)
        if not self.dir or osp.isfile(self.dir):
            what = f'{self.dir} is a file' if self.dir else 'it has no folder'
            raise ConfigError(f"{what}; give it one, as in dir='cache/'")
        if self.dtype not in STORED:
            raise ConfigError(f'dtype is one of {", ".join(STORED)}, not '
                              f'{self.dtype!r}')
        if self.views is not None and self.views < 1:
            raise ConfigError(f'views is a number of views, not {self.views}')


class TeacherCache:
    """Reads the tensors of a teacher's taps from a folder, or computes and
    stores them.

    The teacher runs on one sample at a time, without ground truth and, for
    images, on the image's own frame, padded to the teacher's divisor. Maps
    are padded to the size of the batch afterwards. What a batch gets is
    always a record as it is stored, so it does not depend on whether it was
    there.

    Args:
        teacher (Teacher): The teacher, ready to run.
        specs (dict[Tap, list[TapSpec]]): Specs of its taps.
        counts (dict[Tap, int]): Number of times each tap fires.
        options (CacheOptions): Where and how to store.
        batch (dict): The batch of its dry run.
        image (bool): Whether it sees the images of the student.

    Raises:
        ConfigError: If its tensors cannot be stored: it needs ground truth,
            is not deterministic, or a tap has no entry for each sample.
    """

    def __init__(self, teacher: Teacher, specs: Dict[Tap, List[TapSpec]],
                 counts: Dict[Tap, int], options: CacheOptions, batch: dict,
                 image: bool) -> None:
        self.teacher = teacher
        self.options = options
        self.hits = self.misses = 0
        self._specs = {tap: specs[tap] for tap in sorted(specs, key=_plain)}
        self._places = [(tap, i) for tap, levels in self._specs.items()
                        for i in range(len(levels))]
        self._counts = counts
        self._norm = family_of(teacher.network).image_norm(
            teacher.network) if image else None
        self._stores: Dict[str, Store] = {}
        self._facts = self._read_facts()
        self._looked = time.monotonic()
        #: Pixels for each row and column of a map, where it is an image's.
        self._strides: List[Optional[Tuple[float, float]]] = []
        self._check(batch)

    def frames(self, data: dict, inputs: Any = None) -> Frames:
        """The keys and inputs of a batch.

        Args:
            data (dict): The batch of the data loader, on the host.
            inputs (Any): The student's prepared inputs. Defaults to None: the
                maps are as large as the largest frame needs.
        """
        data = self.teacher.own_data(data)
        if self._norm is None:
            return other_frames(data)
        return image_frames(data, batch_size_of(inputs))

    def pixels(self, frames: Frames) -> float:
        """Mean number of pixels of padded images; 0 for other inputs."""
        if self._norm is None:
            return 0.
        divisor = self._norm.divisor
        sizes = [sample['inputs'].shape[-2:] for sample in frames.samples]
        return sum((h + -h % divisor) * (w + -w % divisor)
                   for h, w in sizes) / len(sizes)

    def extract(self, frames: Frames,
                taps: Sequence[Tap]) -> Dict[Tap, List[Tensor]]:
        """Tensors of some taps; the network runs for samples that are missing.

        Args:
            frames (Frames): From :meth:`frames`.
            taps (Sequence[Tap]): The taps.

        Returns:
            dict[Tap, list[Tensor]]: As :meth:`Teacher.extract` returns them.
        """
        records = [
            self.record(key, sample)
            for key, sample in zip(frames.keys, frames.samples)
        ]
        levels = dict(zip(self._places, zip(zip(*records), self._strides)))
        return {
            tap: [
                self._join(*levels[tap, i], frames)
                for i in range(len(self._specs[tap]))
            ]
            for tap in taps
        }

    def record(self, key: bytes, sample: dict) -> Record:
        """The record of a sample, computed and stored if it is new.

        Args:
            key (bytes): Its key.
            sample (dict): Its inputs, one of :class:`Frames`.
        """
        store = self.store
        record = store.get(key)
        if record is None and time.monotonic() - self._looked > _REFRESH:
            store.refresh()
            self._looked = time.monotonic()
            record = store.get(key)
        if record is not None:
            self.hits += 1
            return record
        self.misses += 1
        record = self.compute(sample)
        if store.put(key, record):
            self._describe(store)
        return record

    def compute(self, sample: dict) -> Record:
        """Run the network on a sample.

        Raises:
            ConfigError: If a tap has no entry for the sample.
        """
        if self._norm is not None:
            device = next(self.teacher.network.parameters()).device
            prepared = prepared_image(sample, self._norm, device)
        else:
            prepared = self.teacher.preprocessor(
                dict(
                    sample,
                    data_samples=without_truth(sample['data_samples'])), True)
        return self._run(prepared)

    def _run(self, batch: dict) -> Record:
        caught = self.teacher.extract(batch['inputs'],
                                      batch.get('data_samples'),
                                      list(self._specs), self._counts)
        tensors = [tensor for tap in self._specs for tensor in caught[tap]]
        for tensor, (tap, _) in zip(tensors, self._places):
            if len(tensors) != len(self._places) or tensor.shape[:1] != (1, ):
                raise ConfigError(
                    f'teacher {self.teacher.name!r}: the tap {tap.path!r} '
                    'does not give one entry for each sample (its shape is '
                    f'{tuple(tensor.shape)}), so it cannot be stored; remove '
                    '`cache`')
        return [Stored.encode(x, self.options.dtype) for x in tensors]

    def _join(self, parts: Sequence[Stored],
              stride: Optional[Tuple[float, float]], frames: Frames) -> Tensor:
        """Join a level of all samples, and move it to the device."""
        device = next(self.teacher.network.parameters()).device
        shapes = [part.values.shape[1:] for part in parts]
        covered = frames.size is None or all(
            own == whole
            for own, whole in (self._extents(frames, axis) for axis in (0, 1)))
        if len(shapes[0]) != 3:
            if len(set(shapes)) > 1 or len(shapes[0]) == 2 and not covered:
                raise ConfigError(
                    f'teacher {self.teacher.name!r}: with a cache, taps that '
                    'give no maps (N, C, H, W) need images of one size; crop '
                    'or pad them in the pipeline')
            return join(parts, None, device)
        size = [max(sizes) for sizes in list(zip(*shapes))[1:]]
        if stride is not None and not covered:
            for axis in (0, 1):
                own, whole = self._extents(frames, axis)
                if own < whole:  # the batch has padding beyond all frames
                    size[axis] = max(size[axis],
                                     math.ceil(whole / stride[axis]))
        return join(parts, (size[0], size[1]), device)

    def _extents(self, frames: Frames, axis: int) -> Tuple[int, int]:
        """Height or width in pixels of the largest frame and of the batch, as
        the teacher pads them."""
        assert self._norm is not None and frames.size is not None
        divisor = self._norm.divisor
        own = max(sample['inputs'].shape[axis - 2]
                  for sample in frames.samples)
        return (own + -own % divisor,
                frames.size[axis] + -frames.size[axis] % divisor)

    # -------------------------------------------------------------- storage

    @property
    def store(self) -> Store:
        """The records that were computed in the current precision."""
        dtype = str(self.teacher.running_dtype()).split('.')[-1]
        if dtype not in self._stores:
            folder = osp.join(self.options.dir, fingerprint(self.facts(dtype)))
            left = self.options.max_gb * 1e9 - bytes_in(self.options.dir)
            self._stores[dtype] = Store(folder, left / get_world_size(),
                                        get_rank())
        return self._stores[dtype]

    def facts(self, dtype: str) -> Dict[str, Any]:
        """All that the records depend on, but for the inputs.

        Args:
            dtype (str): Type that the network computes in.
        """
        return dict(self._facts, precision=dtype)

    def _read_facts(self) -> Dict[str, Any]:
        """Those of :meth:`facts` that do not change during a run."""
        teacher, network = self.teacher, self.teacher.network
        with teacher.as_loaded():
            weights = weights_hash(network)
        return dict(
            network=type(network).__name__,
            weights=weights,
            config=fingerprint(teacher.model_config() or repr(network)),
            taps=[_plain(tap) for tap in self._specs],
            mode=teacher.mode,
            changes=teacher.changes,
            input_map=teacher.input_map,
            preprocessing=repr(
                self._norm
                or sorted(family_of(network).preprocessing(network).items())),
            versions=library_versions(network),
            stored=self.options.dtype)

    def _describe(self, store: Store) -> None:
        """Write what the records of a folder are, unless it is there."""
        path = osp.join(store.folder, ABOUT)
        if osp.lexists(path):
            return
        dtype = next(x for x, y in self._stores.items() if y is store)
        try:
            write_json(path, dict(self.facts(dtype), name=self.teacher.name))
        except OSError:
            pass  # a full disk, of which the next record tells

    def close(self) -> None:
        """Close the files that this process writes."""
        for store in self._stores.values():
            store.close()

    # ---------------------------------------------------------------- checks

    def _check(self, batch: dict) -> None:
        """Let the network run twice without ground truth, and measure the
        strides of its maps."""
        samples = batch.get('data_samples') or [None]
        if self._norm is not None:
            generator = torch.Generator().manual_seed(0)
            sample = dict(
                inputs=torch.randint(
                    0,
                    256, (batch['inputs'].shape[1], _TRIAL, _TRIAL),
                    generator=generator,
                    dtype=torch.uint8),
                data_samples=samples[0])
            size = [_TRIAL + -_TRIAL % self._norm.divisor] * 2
        else:
            batch = dict(batch, data_samples=without_truth(samples[0]))

        def run() -> Record:
            if self._norm is not None:
                return self.compute(sample)
            return self._run(copy.deepcopy(batch))  # it may be written into

        name, network = self.teacher.name, self.teacher.network
        device = self.teacher.device or training_device()
        with preserve_rng(), on_device(network, device), untouched(network):
            try:
                first = run()
            except ConfigError:
                raise
            except Exception as error:
                raise ConfigError(
                    with_reason(
                        f'teacher {name!r} does not run without ground truth, '
                        'as it must with a cache; remove `cache`',
                        error)) from error
            self.check_equal(first, run())
        for part in first:
            shape = part.values.shape
            self._strides.append((
                size[0] / shape[2], size[1] / shape[3]
            ) if self._norm is not None and len(shape) == 4 else None)

    def check_equal(self, first: Record, second: Record) -> None:
        """Check that two runs on one sample gave the same.

        Raises:
            ConfigError: If not.
        """
        if not self.same(first, second):
            raise ConfigError(
                f'teacher {self.teacher.name!r} computes something else each '
                'time (dropout, or random voxels), so its tensors cannot be '
                'stored; remove `cache`')

    def same(self, first: Record, second: Record) -> bool:
        """Whether two records are equal: on a CPU, bit for bit. A GPU may add
        in another order."""
        device = next(self.teacher.network.parameters()).device
        limit = 0. if device.type == 'cpu' else _TOLERANCE
        pairs = [(a.decode().float(), b.decode().float())
                 for a, b in zip(first, second)]
        return all(
            a.shape == b.shape and bool((a - b).norm() <= limit * a.norm())
            for a, b in pairs)


def _plain(tap: Tap) -> List[Any]:
    """A tap without the teacher's name."""
    return [
        replace(tap, network=None).path, tap.calls,
        str(tap.copy),
        str(tap.part)
    ]
