"""Faults in the settings of a run, found before anything is built."""
import difflib
import inspect
import os.path as osp
from typing import Any, Dict, Iterator, List, Optional

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim.scheduler import LinearParamScheduler
from mmengine.runner import Runner

from mmkd.data.checks.files import file_fault, is_local

#: Top-level keys that are read besides the arguments of a runner.
_READ = ('channels_last', 'checks', 'compile', 'compile_backbone',
         'custom_imports', 'find_unused_parameters', 'model_wrapper_cfg',
         'runner_type', 'strategy', 'sync_bn', 'tta_model', 'tta_pipeline')
#: Similarity from which an unread key is taken for a misspelt one.
_SIMILAR = 0.8
_DTYPES = dict(
    fp16=torch.float16,
    float16=torch.float16,
    bf16=torch.bfloat16,
    bfloat16=torch.bfloat16)


def setting_problems(cfg: Config) -> List[str]:
    """Check what a config says, without building a part of it.

    - Is a top-level key a known one, misspelt?
    - Does the device have the precision that is asked for?
    - Do the annotation files of the validation's metrics exist?

    Args:
        cfg (Config): Config of a run.

    Returns:
        list[str]: What is wrong, and the way out.
    """
    return [
        *misspelt_keys(cfg), *precision_problems(cfg),
        *evaluator_problems(cfg, 'val_evaluator')
    ]


def misspelt_keys(cfg: Dict[str, Any]) -> List[str]:
    """Top-level keys that nothing reads and that resemble a known one.

    Variables of the config are top-level keys, too. Those whose dict or list
    occurs elsewhere in the config are not reported.
    """
    known = (set(inspect.signature(Runner.__init__).parameters)
             | set(_READ)) - {'self', 'cfg'}
    found = []
    for key, value in cfg.items():
        if key == 'check_data':
            found.append('`check_data` is now `checks`: `checks=False` skips '
                         'the checks before a run')
        if key in known or key.startswith('_') or key.endswith('_pipeline'):
            continue
        near = difflib.get_close_matches(key, known, 1, _SIMILAR)
        others = (other for name, other in cfg.items() if name != key)
        if near and not _is_used(value, others):
            found.append(f'nothing reads `{key}` of the config; did you mean '
                         f'`{near[0]}`?')
    return found


def _is_used(value: Any, others: Any) -> bool:
    """Whether a dict or list is a part of other settings."""
    if not isinstance(value, (dict, list, tuple)):
        return False
    for other in others:
        if other == value:
            return True
        if isinstance(other, dict):
            other = list(other.values())
        if isinstance(other, (list, tuple)) and _is_used(value, other):
            return True
    return False


def precision_problems(cfg: Config) -> List[str]:
    """Precisions of teachers and of the optimiser that the device lacks."""
    model, wrapper = cfg.get('model') or {}, cfg.get('optim_wrapper') or {}
    asked = {
        f'teacher {name!r}: `precision`': teacher.get('precision')
        for name, teacher in (model.get('teachers') or {}).items()
        if isinstance(teacher, dict)
    }
    kind = str(wrapper.get('type'))
    if kind.endswith('AmpOptimWrapper'):
        if not (torch.cuda.is_available() or 'CPU' in kind):
            return [
                f'`optim_wrapper` is an {kind}, which needs a GPU, and torch '
                'finds none; train with --amp, which takes bf16 on a CPU'
            ]
        asked['`optim_wrapper.dtype`'] = wrapper.get('dtype')
    device, found = get_device(), []
    for place, name in asked.items():
        reason = _lacking(device, _DTYPES.get(str(name)))
        if reason:
            found.append(f'{place} is {name!r}, which the device {device} '
                         f'lacks ({reason}); take another, or leave it out')
    return found


def _lacking(device: str, dtype: Optional[torch.dtype]) -> str:
    """Say why a device cannot compute in a precision; '' if it can."""
    if dtype is None:
        return ''
    if device == 'cuda' and dtype is torch.bfloat16 and \
            not torch.cuda.is_bf16_supported(including_emulation=False):
        return f'{torch.cuda.get_device_name()} would emulate it'
    try:
        image = torch.ones((1, 1, 3, 3), dtype=dtype, device=device)
        torch.nn.functional.conv2d(image, image)
    except RuntimeError as error:
        return str(error).splitlines()[0]
    return ''


def evaluator_problems(cfg: Config, key: str) -> Iterator[str]:
    """Annotation files of metrics that do not exist.

    Args:
        cfg (Config): Config of a run.
        key (str): ``'val_evaluator'`` or ``'test_evaluator'``.
    """
    metrics = cfg.get(key)
    for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
        if not isinstance(metric, dict):
            continue
        path = metric.get('ann_file')
        if not isinstance(path, str) or not path or not is_local(
                path, metric.get('backend_args')):
            continue
        fault = file_fault(path)
        if fault:
            yield (f'`{key}`: {metric.get("type")}: `ann_file` {path}: '
                   f'{fault}; {_where(path)}')


def _where(path: str) -> str:
    if osp.isabs(path):
        return 'correct the path'
    return 'correct the path, which begins in the folder of the command'


def warm_up_warnings(schedulers: Any, iterations: int) -> List[str]:
    """Warm-ups of the learning rate that do not end before the training.

    Args:
        schedulers (list | dict): Those that a runner has built.
        iterations (int): Length of the training.
    """
    if isinstance(schedulers, dict):
        schedulers = [each for some in schedulers.values() for each in some]
    return [
        f'the warm-up of the learning rate (`param_scheduler`) takes {one.end}'
        f' iterations, but the training has {iterations}; shorten its `end`'
        for one in schedulers or []
        if isinstance(one, LinearParamScheduler) and not one.by_epoch
        and one.start_factor < one.end_factor and one.end > iterations
    ]
