"""Completing a config for training, and reducing it to its student."""
import re
from typing import Any, List, Optional

import torch
from mmengine.config import Config, ConfigDict
from mmengine.evaluator import BaseMetric
from mmengine.registry import RUNNERS, Registry

from mmkd.errors import ConfigError
from mmkd.families import Family
from mmkd.utils.arguments import argument_names
from mmkd.utils.config import ConfigLike, read_config
from mmkd.utils.imports import imported_modules

_OWN = 'mmkd.'
_CPU_AMP = f'{_OWN}CPUAmpOptimWrapper'
#: Options that make a student faster: of the model in a distillation, at the
#: top level of a plain config.
FAST_KEYS = ('channels_last', 'compile_backbone')
#: What a run without labels has in place of the student's.
LABEL_FREE_KEYS = [
    f'{split}_{part}' for split in ('train', 'val', 'test')
    for part in ('dataloader', 'evaluator', 'cfg')
] + ['optim_wrapper', 'param_scheduler']


def is_distillation(cfg: Config) -> bool:
    """Whether a config trains a :class:`DistillationModel`."""
    kind = (cfg.get('model') or {}).get('type')
    return str(kind).split('.')[-1] == 'DistillationModel'


def prepare_training(cfg: Config) -> Config:
    """Complete the config of a distillation run.

    Adds the statistics of teachers, the self-check, the hook that stops at
    non-finite losses, and that of cached teachers; averages only the student
    instead of the whole model; passes only the student to its own optimiser
    constructor; keeps at least two checkpoints, so that one is complete if
    the run is killed while it replaces the other.

    Args:
        cfg (Config): Config of a run; a plain one only gets the safe runner.

    Returns:
        Config: The config, changed in place.

    Raises:
        ConfigError: If the config shards weights over processes (FSDP,
            DeepSpeed), or if a plain one names a runner that ignores
            ``--fast``.
    """
    import mmkd.engine.runner  # noqa: F401  (registers the runner)
    from mmkd.engine.label_free import expand_label_free
    from mmkd.engine.processes import check_strategy
    from mmkd.engine.unlabelled import expand_unlabelled
    expand_label_free(cfg)
    expand_unlabelled(cfg)
    cfg.setdefault('runner_type', 'DistillationRunner')
    checkpoint = (cfg.get('default_hooks') or {}).get('checkpoint')
    if checkpoint and checkpoint.get('max_keep_ckpts') == 1:
        checkpoint['max_keep_ckpts'] = 2
    if not is_distillation(cfg):
        _check_fast_runner(cfg)
        return cfg
    check_strategy(cfg)
    for key in FAST_KEYS:  # of a plain config that this one is based on
        if key in cfg:
            cfg.model.setdefault(key, cfg.pop(key))
    given = cfg.get('custom_hooks') or []
    if not isinstance(given, (list, tuple)) or not all(
            isinstance(hook, dict) for hook in given):
        raise ConfigError('`custom_hooks` is a list of dicts such as dict('
                          f"type='EMAHook'), not {given!r}")
    hooks = [ConfigDict(hook) for hook in given]
    for hook in hooks:
        if str(hook.get('type')).split('.')[-1] == 'EMAHook':
            hook['type'] = f'{_OWN}StudentEMAHook'
    wanted = [
        'StatisticsHook', 'SelfCheckHook', 'FiniteLossHook', 'SharesHook'
    ]
    teachers = cfg.model.get('teachers')
    if isinstance(teachers, dict) and any(
            isinstance(teacher, dict) and teacher.get('cache')
            for teacher in teachers.values()):
        wanted.append('CacheHook')
    distillers = cfg.model.get('distillers')
    if isinstance(distillers, dict) and any(
            isinstance(distiller, dict)
            and isinstance(distiller.get('loss_weight'), dict)
            and distiller['loss_weight'].get('type') == 'gam'
            for distiller in distillers.values()):
        wanted.append('GradientShareHook')
    for kind in wanted:
        if kind not in [_last_name(hook.get('type')) for hook in hooks]:
            hooks.append(ConfigDict(type=f'{_OWN}{kind}'))
    cfg['custom_hooks'] = hooks
    wrapper = cfg.get('optim_wrapper')
    own = f'{_OWN}DistillationOptimWrapperConstructor'
    if wrapper and wrapper.get('constructor') != own:
        if 'constructor' in wrapper:
            wrapper['student_constructor'] = wrapper['constructor']
        wrapper['constructor'] = own
    return cfg


def _last_name(kind: Any) -> str:
    """Name of a type, without its module or scope."""
    return getattr(kind, '__name__', str(kind)).split('.')[-1]


def _check_fast_runner(cfg: Config) -> None:
    """Check that the runner of a plain config has the options of --fast."""
    from mmkd.engine.runner import DistillationRunner
    wanted = [key for key in FAST_KEYS if cfg.get(key)]
    runner = RUNNERS.get(cfg.runner_type)
    if wanted and runner and not issubclass(runner, DistillationRunner):
        raise ConfigError(f'{cfg.runner_type!r} ignores `{wanted[0]}`; leave '
                          f'`runner_type` out, or --fast and `{wanted[0]}`')


def use_amp(cfg: Config) -> None:
    """Enable mixed precision: fp16 with loss scaling on CUDA, bf16 on a
    CPU."""
    wrapper = cfg.get('optim_wrapper')
    if not wrapper:
        raise ConfigError(
            'mixed precision needs an `optim_wrapper` in the config')
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', _CPU_AMP):
        raise ConfigError(f'mixed precision cannot be combined with {kind!r}')
    if torch.cuda.is_available():
        wrapper['type'] = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
    else:
        wrapper['type'] = _CPU_AMP
        wrapper.pop('loss_scale', None)


def use_fast_student(cfg: Config) -> None:
    """Enable mixed precision, channels_last and, on a GPU, ``torch.compile``
    of the backbone, for a distilled student as for a plain network.

    Raises:
        ConfigError: If the config's optimiser wrapper does not allow it.
    """
    from mmkd.core.compiling import compiles_by_default
    use_amp(cfg)
    part = cfg.model if is_distillation(cfg) else cfg
    part.channels_last = True
    # `compile` of a runner compiles the whole step.
    part.setdefault('compile_backbone', not cfg.get('compile')
                    and compiles_by_default())


def prepare_devices(cfg: Config) -> None:
    """Set up training in several processes on CPUs if there is no GPU, and
    the mixed precision of the device.

    Raises:
        ConfigError: If the launcher in the config did not start the
            processes.
    """
    from mmkd.engine.processes import join_on_cpus, launcher_of
    wrapper = cfg.get('optim_wrapper') or {}
    if wrapper.get('type') == _CPU_AMP:  # the config of an earlier run
        use_amp(cfg)
    launcher = launcher_of(cfg)
    if launcher == 'none' or torch.cuda.is_available():
        return
    join_on_cpus(launcher)
    cfg.setdefault('model_wrapper_cfg', ConfigDict())
    cfg.model_wrapper_cfg.setdefault('type', 'MMDistributedDataParallel')
    cfg.model_wrapper_cfg['device_ids'] = None


def student_only(cfg: ConfigLike, keep_metrics: bool = False) -> Config:
    """Turn a distillation config into a plain config of the student's library.

    The result imports mmkd's registry if the student, its data or its metrics
    come from mmkd.

    Args:
        cfg (str | dict | Config): A distillation config; a plain one is
            returned unchanged.
        keep_metrics (bool): Whether to keep mmkd's metrics; otherwise those
            of the library that they extend take their place. Defaults to
            False.

    Returns:
        Config: A copy without teachers, distillers and hooks of mmkd.
    """
    from mmkd.core.network import network_config
    from mmkd.engine.unlabelled import labelled_only
    cfg = labelled_only(read_config(cfg))
    if is_distillation(cfg):
        if cfg.model.get('label_free'):  # neither its data nor its schedule
            for key in LABEL_FREE_KEYS:
                cfg.pop(key, None)
        model, scope = network_config(cfg, 'the student')
        cfg['model'] = ConfigDict(model)
        if scope:
            cfg.setdefault('default_scope', scope)
    hooks = []
    for hook in cfg.get('custom_hooks') or []:
        kind = str(hook.get('type'))
        if kind.endswith('StudentEMAHook'):
            hooks.append(ConfigDict(hook, type='EMAHook'))
        elif not kind.startswith(_OWN):
            hooks.append(hook)
    if 'custom_hooks' in cfg:
        cfg['custom_hooks'] = hooks
    wrapper = cfg.get('optim_wrapper') or {}
    if str(wrapper.get('constructor')).startswith(_OWN):
        wrapper.pop('constructor')
        if 'student_constructor' in wrapper:
            wrapper['constructor'] = wrapper.pop('student_constructor')
    if str(wrapper.get('type')).startswith(_OWN):
        wrapper['type'] = 'OptimWrapper'
    for key in ('val_evaluator', 'test_evaluator'):
        if cfg.get(key) and not keep_metrics:
            cfg[key] = _library_metrics(cfg[key], cfg.get('default_scope'))
    for key in ('runner_type', 'model_wrapper_cfg', 'label_free', 'unlabelled',
                *FAST_KEYS):
        cfg.pop(key, None)
    imports = cfg.get('custom_imports')
    if imports:
        kept = [
            n for n in imported_modules(imports)
            if not re.match(r'mmkd(\.|$)', n) and not _holds_a_method_only(n)
        ]
        if kept:
            imports['imports'] = kept
        else:
            cfg.pop('custom_imports')
    if _has_own_parts([cfg.get('model'), *_data_and_metrics(cfg)]):
        imports = cfg.setdefault('custom_imports',
                                 ConfigDict(allow_failed_imports=False))
        imports['imports'] = [*imports.get('imports', []), 'mmkd.registry']
    return cfg


def complete_for_inference(cfg: Config, family: Family) -> None:
    """Add what the libraries' inferencers read beside the model, if it is
    missing: a visualizer, and mmseg's ``test_pipeline``.

    Args:
        cfg (Config): A plain config, changed in place.
        family (Family): The family of its model.
    """
    if not family.visualizer or cfg.get('default_scope') != family.name:
        return
    cfg.setdefault(
        'visualizer',
        ConfigDict(
            type=family.visualizer,
            vis_backends=[dict(type='LocalVisBackend')],
            name='visualizer'))
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    if family.name == 'mmseg' and dataset.get('pipeline'):
        cfg.setdefault('test_pipeline', dataset['pipeline'])


def _library_metrics(metrics: Any, scope: Optional[str]) -> Any:
    """Replace mmkd's metrics by those that they extend.

    Args:
        metrics (dict | list[dict]): Metrics of an evaluator.
        scope (str, optional): Default scope of the config.
    """
    import mmkd.registry
    given = metrics if isinstance(metrics, (list, tuple)) else [metrics]
    kept = []
    for metric in given:
        if str(metric.get('type')).startswith(_OWN):
            cls = mmkd.registry.METRICS.get(metric['type'])
            base = next(
                b for b in getattr(cls, '__mro__', (BaseMetric, ))
                if b.__module__.split('.')[0] != 'mmkd')
            if base is BaseMetric:  # extends none
                continue
            package = base.__module__.split('.')[0]
            name = base.__name__ if package == scope else \
                f'{package}.{base.__name__}'
            known = argument_names(base)
            metric = ConfigDict(
                {
                    key: value
                    for key, value in metric.items() if key in known
                },
                type=name)
        kept.append(metric)
    if not kept:  # BoundaryIoUMetric alone
        kept.append(ConfigDict(type='mmseg.IoUMetric'))
    return kept if isinstance(metrics, (list, tuple)) else kept[0]


def _holds_a_method_only(module: str) -> bool:
    """Whether a module registers distillers, and nothing for a plain run."""
    import mmengine.registry

    from mmkd.registry import DISTILLERS
    roots = [
        registry for registry in vars(mmengine.registry).values()
        if isinstance(registry, mmengine.registry.Registry)
    ]
    return _registers(module, DISTILLERS) and not any(
        _registers(module, registry) for registry in roots)


def _registers(module: str, registry: Registry) -> bool:
    """Whether a module registered something here or in a child."""
    return any(
        getattr(built, '__module__', None) == module
        for built in registry.module_dict.values()) or any(
            _registers(module, child) for child in registry.children.values())


def _data_and_metrics(cfg: Config) -> List[Any]:
    """Data loaders and evaluators of a config."""
    return [
        cfg.get(f'{split}_{part}') for split in ('train', 'val', 'test')
        for part in ('dataloader', 'evaluator')
    ]


def _has_own_parts(value: Any) -> bool:
    """Whether a config uses classes of mmkd, such as a detector in bird's-eye
    view or a transform."""
    if isinstance(value, dict):
        return str(value.get('type')).startswith(_OWN) or _has_own_parts(
            list(value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_own_parts, value))
