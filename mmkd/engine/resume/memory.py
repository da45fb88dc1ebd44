"""Finding transforms that remember earlier samples."""
import copy
import hashlib
import pickle
from typing import Any, Iterator, List, Optional

#: Batches after which a process compares the transforms with before.
LOOKS = 3

#: Attributes of library transforms that change from sample to sample and yet
#: are no memory: each call that reads one has written it before. Read in
#: mmcv 2.1, mmdet 3.3, mmsegmentation 1.2 and mmdet3d 1.4; subclasses are not
#: covered. A user's transform may list such attributes in a class attribute
#: `overwritten`.
OVERWRITTEN = {
    'mmcv.transforms.processing.RandomResize': ('resize.scale', ),
    'mmcv.transforms.processing.RandomChoiceResize': ('resize.scale', ),
    'mmdet.datasets.transforms.transforms.ResizeShortestEdge':
    ('resize.scale', ),
    'mmdet.datasets.transforms.transforms.MinIoURandomCrop': ('mode', ),
    **{
        f'mmdet.datasets.transforms.geometric.{name}': ('homography_matrix', )
        for name in ('ShearX', 'ShearY', 'Rotate', 'TranslateX', 'TranslateY')
    },
    'mmdet3d.datasets.transforms.transforms_3d.RandomResize3D':
    ('resize.scale', ),
    'mmseg.datasets.transforms.transforms.ResizeShortestEdge':
    ('resize.scale', ),
    'mmseg.datasets.transforms.transforms.RandomMosaic':
    ('center_x', 'center_y'),
}


class MemoryWatch:
    """Finds transforms that change from batch to batch.

    The output of a transform depends on the sample, the random generators
    and the transform itself. A transform that does not change cannot remember
    anything. One that changes may, unless the change is in an attribute that
    it overwrites before it reads it (:data:`OVERWRITTEN`). Comparing outputs
    would not suffice: a cache may be filled for many batches before it is
    used.

    The first batch is ignored, as it opens files and the like. A transform
    that cannot be pickled counts as changing.

    Args:
        dataset (Dataset): Holds the transforms.

    Attributes:
        names (list[str]): Class names of those that changed.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.names: List[str] = []
        self._left = LOOKS
        self._seen: List[Optional[str]] = []

    def look(self) -> None:
        """Compare the transforms with the last time; call it after each
        batch."""
        if not self._left:
            return
        self._left -= 1
        transforms = list(transforms_of(self.dataset))
        seen = [fingerprint(transform) for transform in transforms]
        names = {
            type(transform).__name__
            for transform, before, now in zip(transforms, self._seen, seen)
            if before != now or now is None
        }
        self.names = sorted(names.union(self.names))
        self._seen = seen if self._left else []


def transforms_of(dataset: Any) -> Iterator[Any]:
    """The transforms of a dataset and of the datasets that it wraps."""
    pipeline = getattr(dataset, 'pipeline', None)
    transforms = getattr(pipeline, 'transforms', pipeline)
    if isinstance(transforms, (list, tuple)):
        yield from transforms
    elif transforms is not None:
        yield transforms
    for part in (getattr(dataset, 'dataset',
                         None), *(getattr(dataset, 'datasets', None) or ())):
        if part is not None:
            yield from transforms_of(part)


def fingerprint(value: Any) -> Optional[str]:
    """A digest of an object without the attributes in :data:`OVERWRITTEN`;
    None if it cannot be pickled."""
    digest = _Digest()
    try:
        _Pickler(digest, pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception:  # whatever its classes raise
        return None
    return digest.hash.hexdigest()


class _Pickler(pickle.Pickler):
    """Leaves out attributes that are overwritten, at any depth."""

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        name = f'{kind.__module__}.{kind.__qualname__}'
        paths = OVERWRITTEN.get(name, getattr(kind, 'overwritten', ()))
        if not paths:
            return NotImplemented
        return tuple, ([name, _without(vars(value), paths)], )


def _without(attributes: dict, paths: Any) -> dict:
    """Attributes of an object without those at some dotted paths."""
    attributes = dict(attributes)
    for path in paths:
        name, _, rest = path.partition('.')
        if rest and name in attributes:
            part = copy.copy(attributes[name])
            part.__dict__ = _without(vars(part), [rest])
            attributes[name] = part
        else:
            attributes.pop(name, None)
    return attributes


class _Digest:
    """A file that keeps only a digest of what is written to it."""

    def __init__(self) -> None:
        self.hash = hashlib.sha1(usedforsecurity=False)

    def write(self, content: Any) -> int:
        self.hash.update(content)
        return len(content)
