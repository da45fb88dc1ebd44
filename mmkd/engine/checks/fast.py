"""The checks before every training, on what it has built anyway."""
import logging
from typing import Any, Dict, List, Optional

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmkd.core.model import DistillationModel
from mmkd.data.broken import read_samples
from mmkd.data.checks import Problem, raise_problems
from mmkd.data.checks.records import record_problems
from mmkd.engine.checks.batches import (batch_norm_fault, check_training,
                                        check_validation)
from mmkd.engine.checks.classes import class_faults, classes_of
from mmkd.engine.checks.settings import (evaluator_problems, setting_problems,
                                         warm_up_warnings)
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.utils.data import own_pipeline

#: Ends the last line of an error.
SKIP = ' (`checks=False` in the config skips the checks before a run)'
#: Samples of the training that are read before it.
_FEW = 8


def check_settings(cfg: Config) -> None:
    """Check what a config says, unless it has ``checks=False``.

    Raises:
        ConfigError: With one line for each fault.
    """
    if not cfg.get('checks', True):
        return
    raise_all(setting_problems(cfg))
    for text in evaluator_problems(cfg, 'test_evaluator'):
        if cfg.get('test_evaluator') != cfg.get('val_evaluator'):
            print_log(f'check: {text}', 'current', logging.WARNING)


def check_parts(runner: Runner) -> None:
    """Compare the classes of a runner's networks and data sets.

    Raises:
        ConfigError: With one line for each fault.
    """
    faults = class_faults(plain_model(runner), datasets_of(runner))
    for text, stops in faults:
        if not stops:
            print_log(f'check: {text}', 'current', logging.WARNING)
    raise_all([text for text, stops in faults if stops])


def check_batches(runner: Runner, limit: int = _FEW) -> None:
    """Read some training samples, and let a batch of them and one sample of
    the validation go through the student; the runner's state stays as it is.

    A distillation is spared the batch, which its self-check lets through.

    Args:
        runner (Runner): A runner whose loops are built.
        limit (int): Number of training samples to read. Defaults to 8.

    Raises:
        ConfigError: If the student or a metric fails.
        DataError: If data is wrong.
    """
    model = plain_model(runner)
    raise_problems(
        sample_problems(runner.train_dataloader.dataset, limit,
                        label_count(model)), SKIP)
    for text in warm_up_warnings(runner.param_schedulers, runner.max_iters):
        print_log(f'check: {text}', 'current', logging.WARNING)
    if not isinstance(model, DistillationModel):
        check_training(model, runner.train_dataloader)
    if runner.val_loop is None:
        return
    single = check_validation(
        validated(model), runner.val_dataloader, runner.val_loop.evaluator)
    fault = batch_norm_fault(runner.train_dataloader, single)
    raise_all([fault] if fault else [])


def sample_problems(dataset: Any,
                    limit: int,
                    labels: Optional[int] = None) -> List[Problem]:
    """What is wrong with some samples of a data set, which is not changed.

    Args:
        dataset (Dataset): A data set of mmengine.
        limit (int): Number of samples to read. Of the records, at most 200
            are checked as well.
        labels (int, optional): See :func:`label_count`. Defaults to None.
    """
    dataset = own_pipeline(dataset)
    classes = classes_of(dataset)
    found = record_problems(dataset, len(classes)) if classes else []
    return found or read_samples(dataset, labels, limit)


def validated(model: nn.Module) -> nn.Module:
    """What a validation runs: the student, or without labels the model."""
    if getattr(model, 'label_free', False):
        return model
    return getattr(model, 'student', model)


def label_count(model: nn.Module) -> Optional[int]:
    """Number of labels of pixels that a model's segmentation head knows.

    Args:
        model (nn.Module): A distillation model or a plain network.

    Returns:
        int, optional: None if it has no such head.
    """
    student = getattr(model, 'student', model)
    return family_of(student).pixel_labels(student)


def datasets_of(runner: Runner) -> Dict[str, Any]:
    """The data sets of a runner's loops that are built, by split."""
    loops = dict(
        train=runner._train_loop, val=runner._val_loop, test=runner._test_loop)
    return {
        split: loop.dataloader.dataset
        for split, loop in loops.items() if hasattr(loop, 'dataloader')
    }


def plain_model(runner: Runner) -> nn.Module:
    """The model of a runner without its wrapper."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model


def raise_all(lines: List[str]) -> None:
    """Raise a ConfigError with these lines, if there are any."""
    if lines:
        raise ConfigError(*lines[:-1], lines[-1] + SKIP)
