"""Reports on the caches of teachers."""
import logging
from typing import Dict

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd.core.cache.opening import caches_of
from mmkd.core.cache.teacher_cache import TeacherCache
from mmkd.engine.cache.outlook import outlook
from mmkd.engine.checks.fast import plain_model
from mmkd.registry import HOOKS


@HOOKS.register_module()
class CacheHook(Hook):
    """Say before training what the caches will give, and afterwards what they
    gave.

    A run whose inputs never come twice is stopped
    (:func:`mmkd.engine.cache.outlook.outlook`). It is added to each run that
    has a cache.

    Attributes:
        report (dict[str, str]): What to expect, by the name of the teacher.
    """

    def __init__(self) -> None:
        self.report: Dict[str, str] = {}

    def before_train(self, runner: Runner) -> None:
        """Read some samples, unless the run resumes."""
        caches = _caches(runner)
        if runner.iter or not caches or not is_main_process():
            return
        with runner.optim_wrapper.optim_context(runner.model):
            found = outlook(caches, runner.train_dataloader)
        for name, result in found.items():
            options = caches[name].options
            self.report[name] = (f'{caches[name].store.folder} '
                                 f'({options.dtype}): {result}')
            runner.logger.info(f'teacher {name!r}: cache {self.report[name]}')
            if result.gigabytes > options.max_gb:
                runner.logger.log(
                    logging.WARNING, f'teacher {name!r}: the cache would need '
                    f'{result.gigabytes:.3g} GB, but `max_gb` is '
                    f'{options.max_gb:g}; the teacher computes the rest in '
                    'each pass')

    def after_train(self, runner: Runner) -> None:
        """Say how many records were read, and close the files."""
        for name, cache in _caches(runner).items():
            total = cache.hits + cache.misses
            runner.logger.info(
                f'teacher {name!r}: {cache.hits} of {total} inputs came from '
                'the cache')
            cache.close()


def _caches(runner: Runner) -> Dict[str, TeacherCache]:
    return caches_of(getattr(plain_model(runner), 'teachers', {}))
