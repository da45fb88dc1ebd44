"""Opening the caches of a model's teachers."""
import logging
from typing import Dict, Mapping

from mmengine.logging import print_log
from torch import nn

from mmkd.core.cache.teacher_cache import CacheOptions, TeacherCache
from mmkd.core.distiller import Distiller
from mmkd.core.step import TapPlan
from mmkd.core.taps.dry_run import DryRun
from mmkd.core.teacher import Teacher, label_reader
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.utils.arguments import construct

#: Number of views of a sample below which a warning says so.
FEW_VIEWS = 8


def open_caches(distillers: Mapping[str, Distiller], student: nn.Module,
                teachers: Mapping[str, Teacher], plan: TapPlan,
                runs: Mapping[str, DryRun]) -> None:
    """Open the cache of each teacher that has one in its config.

    Args:
        distillers (Mapping[str, Distiller]): All distillers by name.
        student (nn.Module): The student.
        teachers (Mapping[str, Teacher]): The teachers by name, ready to run.
        plan (TapPlan): The taps.
        runs (Mapping[str, DryRun]): Dry run of each teacher by name.

    Raises:
        ConfigError: If a teacher, or what reads it, cannot do with stored
            tensors.
    """
    for name, teacher in teachers.items():
        teacher.cache = None
        taps = plan.teacher_taps(name, list(distillers))
        if teacher.cache_options is None or not taps:
            continue
        what = f'teacher {name!r}: `cache`'
        options = construct(CacheOptions, teacher.cache_options, what)
        readers = {
            reader: distiller
            for reader, distiller in distillers.items()
            if plan.teacher_taps(name, [reader])
        }
        if options.views is not None and options.views < FEW_VIEWS:
            print_log(
                f'{what} gives {options.views} view(s) of each sample, so '
                f'that augmentation is weak; at least {FEW_VIEWS} are '
                'recommended', 'current', logging.WARNING)
        reason = _obstacle(teacher, student, readers)
        if reason:
            raise ConfigError(f'{what} cannot be used: {reason}; remove it')
        own, theirs = (
            family_of(network) for network in (student, teacher.network))
        image = (not teacher.input_map and own.image_norm(student) is not None
                 and theirs.image_norm(teacher.network) is not None)
        teacher.cache = TeacherCache(teacher,
                                     {tap: plan.specs[tap]
                                      for tap in taps}, plan.counts, options,
                                     runs[name].batch, image)


def caches_of(teachers: Mapping[str, Teacher]) -> Dict[str, TeacherCache]:
    """The caches of teachers by name, of those that have one."""
    return {
        name: teacher.cache
        for name, teacher in teachers.items() if teacher.cache is not None
    }


def _obstacle(teacher: Teacher, student: nn.Module,
              readers: Mapping[str, Distiller]) -> str:
    """Why a teacher cannot have a cache; empty if it can."""
    reader = label_reader(teacher)
    if reader:
        return f'{reader} reads the ground truth, which is not stored'
    if family_of(student).augments_batches(student):
        return 'the preprocessor of the student augments batches at random ' \
            '(`batch_augments`), so that no image comes twice'
    for name, distiller in readers.items():
        for needed, what in ((distiller.needs_inputs, "the teacher's inputs"),
                             (distiller.needs_head, 'the detection head')):
            if needed:
                return f'the distiller {name!r} ' \
                    f'({type(distiller).__name__}) reads {what}, not only ' \
                    'tensors'
    return ''
