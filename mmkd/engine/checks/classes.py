"""Do the classes of networks and data sets agree?"""
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from torch import nn

from mmkd.core.model import DistillationModel
from mmkd.families import family_of

#: A fault, and whether the run cannot begin with it.
Fault = Tuple[str, bool]
#: Roles of taps that give a score for each class.
_CLASS_SCORES = ('logits', 'auxiliary_logits', 'dense_logits', 'roi_logits',
                 'class_maps')


def class_faults(model: nn.Module, datasets: Dict[str, Any]) -> List[Fault]:
    """Compare the classes of the networks and the data sets of a run.

    Args:
        model (nn.Module): A distillation model or a plain network.
        datasets (dict[str, Dataset]): The data sets by split, such as
            ``'train'``; those without classes are skipped.

    Returns:
        list[tuple[str, bool]]: The faults, and whether training must not
        begin.
    """
    classes = {
        split: names
        for split, names in ((split, classes_of(dataset))
                             for split, dataset in datasets.items()) if names
    }
    if not classes:
        return []
    split, names = next(iter(classes.items()))
    return [
        *_of_data_sets(split, names, classes, datasets),
        *_of_student(model, names, datasets[split]),
        *_of_teachers(model, names)
    ]


def classes_of(dataset: Any) -> Optional[List[str]]:
    """Names of the classes of a data set, None if it has none."""
    found = _metainfo(dataset).get('classes')
    return list(map(str, found)) if isinstance(found, (list, tuple)) else None


def _metainfo(dataset: Any) -> Dict[str, Any]:
    """What a data set says of itself; of mmdet's ``ConcatDataset`` that has a
    list, what its parts agree on."""
    parts = getattr(dataset, 'metainfo', None) or {}
    if isinstance(parts, dict):
        return parts
    first, *others = parts
    return {
        key: value
        for key, value in first.items()
        if all(key in part and part[key] == value for part in others)
    }


def _of_data_sets(first: str, names: Sequence[str], others: Dict[str,
                                                                 List[str]],
                  datasets: Dict[str, Any]) -> Iterator[Fault]:
    for split, theirs in others.items():
        if theirs != names:
            # mmdet's configs of trackers train on the first class and name
            # all for the validation, whose metrics look at the first only.
            tracks = hasattr(datasets[split], 'get_len_per_video')
            stops = not tracks or theirs[:len(names)] != list(names)
            here, there = _difference(names, theirs)
            yield (f'`{first}_dataloader` and `{split}_dataloader` have other '
                   f'classes: {here} and {there}; give both the same '
                   '`metainfo=dict(classes=...)`', stops)


def _of_student(model: nn.Module, names: Sequence[str],
                dataset: Any) -> Iterator[Fault]:
    # Of panoptic classes, heads of objects have the things only.
    things = _metainfo(dataset).get('thing_classes')
    counts = {len(names), len(things) if things else len(names)}
    distils = isinstance(model, DistillationModel)
    student: Any = model.student if distils else model
    wrong = {
        path: count
        for path, count in family_of(student).head_classes(student).items()
        if count not in counts
    }
    if not wrong:
        return
    place = 'model.student.' if distils else 'model.'
    heads = ' and '.join(f'`{place}{path}` has num_classes={count}'
                         for path, count in wrong.items())
    shown = ', '.join(map(repr, names[:5])) + ', ...' * (len(names) > 5)
    yield (f'the data set has {len(names)} classes ({shown}), but {heads}; '
           f'set num_classes={len(names)}, or the classes of the data set by '
           '`metainfo=dict(classes=...)`', True)


def _of_teachers(model: nn.Module, names: Sequence[str]) -> Iterator[Fault]:
    if not isinstance(model, DistillationModel):
        return
    for name, teacher in model.teachers.items():
        if not teacher.classes or list(teacher.classes) == list(names):
            continue
        here, there = _difference(names, teacher.classes)
        compared = any(tap.network == name
                       for roles in model.taps.teacher.values()
                       for role in _CLASS_SCORES
                       for tap in roles.get(role, []))
        has_more = set(names) < set(teacher.classes) and family_of(
            teacher.network).name in ('mmdet', 'mmseg')
        way_out = (f'keep these of the teacher: classes={list(names)}'
                   if has_more else
                   'distil features, or use a teacher with these classes')
        yield (f'teacher {name!r} was trained on other classes than the data '
               f'set has: {here} here, {there} there' +
               f'. Class scores cannot be compared; {way_out}' * compared,
               compared)


def _difference(ours: Sequence[str], theirs: Sequence[str]) -> Tuple[str, str]:
    """The first classes that differ, or else the numbers of classes."""
    for a, b in zip(ours, theirs):
        if a != b:
            return repr(a), repr(b)
    return str(len(ours)), str(len(theirs))
