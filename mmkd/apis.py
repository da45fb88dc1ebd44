"""The Python interface behind the command-line tools."""
import logging
import os
import os.path as osp
from typing import (TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple,
                    Union)

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger, print_log
from mmengine.registry import RUNNERS, DefaultScope
from mmengine.runner import Runner, set_random_seed

from mmkd.engine.configs import (complete_for_inference, is_distillation,
                                 prepare_devices, prepare_training,
                                 student_only, use_amp, use_fast_student)
from mmkd.engine.onnx import export_onnx
from mmkd.engine.pair_config import find_method, write_distillation_config
from mmkd.engine.records import check_free, check_not_lost, check_output
from mmkd.errors import CheckpointError, ConfigError
from mmkd.utils.arguments import error_context
from mmkd.utils.collector import paused_collector
from mmkd.utils.config import ConfigLike, read_config
from mmkd.utils.config_file import config_text
from mmkd.utils.files import keep_edited, write_bytes

if TYPE_CHECKING:
    from mmkd.engine.checks.report import Report
    from mmkd.utils.checkpoint import Checkpoint

__all__ = [
    'browse_distillation', 'build_runner', 'build_tester', 'check',
    'export_onnx', 'export_student', 'find_method', 'is_distillation',
    'list_taps', 'predict', 'prepare_devices', 'prepare_training',
    'student_only', 'test', 'train', 'use_amp', 'use_fast_student',
    'write_distillation_config'
]


def build_runner(cfg: Config) -> Runner:
    """Build the runner of a prepared config.

    Raises:
        ConfigError: If a part of the config cannot be built.
    """
    import mmkd.registry  # noqa: F401  (makes the scope `mmkd` known)
    from mmkd.engine.building import NamingRunner
    from mmkd.utils.checkpoint import read_as_data
    read_as_data()
    prepare_devices(cfg)
    # mmengine lays out the config's text for every checkpoint. That takes
    # seconds and hides a Ctrl-C behind an error of its own.
    object.__setattr__(cfg, '_format_python_code', False)
    if 'runner_type' in cfg:
        if RUNNERS.get(cfg.runner_type) is None:
            raise ConfigError(f'there is no runner {cfg.runner_type!r}; leave '
                              '`runner_type` out')
        with error_context('the config'):
            return RUNNERS.build(cfg)
    return NamingRunner.from_cfg(cfg)


def train(cfg: Config) -> Runner:
    """Train with a config and return the runner.

    Raises:
        MMKDError: If a part of the config is wrong, before training starts.
    """
    from mmkd.engine.checks import check_settings
    check_not_lost(cfg)
    with paused_collector():
        check_settings(cfg)
        runner = build_runner(prepare_training(cfg))
    runner.train()
    return runner


def check(cfg: ConfigLike, samples: int = 200) -> 'Report':
    """Check a config and its data without training; nothing is written.

    Args:
        cfg (str | dict | Config): A distillation config, or a plain config.
        samples (int): Number of samples to read of each data set, evenly
            spaced. Defaults to 200.

    Returns:
        Report: What was checked, and what is wrong.
    """
    from mmkd.engine.checks.report import check_config
    return check_config(read_config(cfg), build_runner, samples)


def test(cfg: Config, ckpt: str) -> Dict[str, float]:
    """Evaluate a student; neither teachers nor distillers are built.

    Args:
        cfg (Config): Its distillation config, or a plain config.
        ckpt (str): A checkpoint of the run, or an exported student.

    Returns:
        dict[str, float]: The metrics of the config's evaluator.

    Raises:
        CheckpointError: If the checkpoint cannot be read or does not fit.
    """
    return build_tester(cfg, ckpt).test()


def predict(cfg: Config, ckpt: str) -> Tuple[Dict[Any, Any], List[str]]:
    """Run a detector of mmdet3d on the frames of its test data.

    Args:
        cfg (Config): Its distillation config, or a plain config.
        ckpt (str): A checkpoint of the run, or an exported student.

    Returns:
        tuple[dict, list[str]]: Predictions (``bboxes_3d``, ``scores_3d``,
        ``labels_3d``) by ``sample_idx``, and the names of the labels.

    Raises:
        CheckpointError: If the checkpoint cannot be read or does not fit.
    """
    runner = build_tester(cfg, ckpt)
    runner.model.eval()
    loader = runner.build_dataloader(cfg.test_dataloader)
    found = {}
    with torch.no_grad():
        for data in loader:
            for sample in runner.model.test_step(data):
                found[sample.metainfo['sample_idx']] = (
                    sample.pred_instances_3d.to('cpu'))
    return found, list(loader.dataset.metainfo['classes'])


def build_tester(cfg: Config, ckpt: str) -> Runner:
    """Build a runner that tests a student; nothing else is built.

    Args:
        cfg (Config): Its distillation config, or a plain config.
        ckpt (str): A checkpoint of the run, or an exported student.

    Raises:
        CheckpointError: If the checkpoint cannot be read or does not fit.
    """
    from mmkd.utils.checkpoint import load_weights, read_checkpoint
    work_dir, launcher = cfg.get('work_dir'), cfg.get('launcher', 'none')
    cfg = student_only(cfg, keep_metrics=True)
    cfg.work_dir, cfg.launcher = work_dir, launcher
    cfg['load_from'], cfg['resume'] = None, False
    cfg['custom_hooks'] = [
        hook for hook in cfg.get('custom_hooks') or []
        if not str(hook.get('type')).endswith('EMAHook')
    ]
    checkpoint = read_checkpoint(ckpt)
    runner = build_runner(cfg)
    model = getattr(runner.model, 'module', runner.model)
    load_weights(model, checkpoint, 'the student')
    return runner


def export_student(cfg: ConfigLike,
                   ckpt: str,
                   out_dir: str,
                   raw: bool = False,
                   safetensors: bool = False,
                   name: Optional[str] = None,
                   part: Optional[str] = None) -> Tuple[str, Optional[str]]:
    """Write the student as a plain checkpoint and config of its library.

    Both record the teachers of the run: network, SHA-256 of the weights, and
    the licence that a foundation model's card names.

    Args:
        cfg (str | dict | Config): The distillation config.
        ckpt (str): A checkpoint of the run.
        out_dir (str): Folder for both files. A config there that differs is
            kept as ``CONFIG.CRC.old``.
        raw (bool): Whether to export the trained weights instead of their
            moving average (EMA), if the checkpoint holds both. Defaults to
            False.
        safetensors (bool): Whether to write a safetensors file instead of a
            ``.pth``. Defaults to False.
        name (str, optional): Name of both files, without suffix. Defaults to
            None: ``part``, or ``'student'``.
        part (str, optional): The module whose weights to write, such as
            ``'backbone'``, instead of all and the config. Their keys stay, so
            the prefix in ``init_cfg`` is ``'backbone.'``. Defaults to None.

    Returns:
        tuple[str, str | None]: Paths of the weights and of the config.

    Raises:
        CheckpointError: If the checkpoint does not hold this student.
        ConfigError: If it would write over what it reads, or over the config
            or a checkpoint of a run; if the config trains no student, or if
            the student has no such part.
    """
    from mmkd.core.network import build_network
    from mmkd.families import family_of
    from mmkd.utils.checkpoint import load_weights, write_weights
    plain = student_only(cfg)
    if 'rewriter' in plain.model:
        raise ConfigError('this config trains modules inside a frozen '
                          'teacher, so there is no student to export; the '
                          'next stage reads the checkpoint as it is')
    kind = 'safetensors' if safetensors else 'pth'
    weights, config = (
        osp.join(out_dir, f'{name or part or "student"}.{suffix}')
        for suffix in (kind, 'py'))
    for path in (weights, config)[:1 if part else 2]:
        check_output(path, ckpt, cfg if isinstance(cfg, str) else '')
    network = build_network(plain, 'the student')
    checkpoint = _student_weights(ckpt, raw)
    load_weights(network, checkpoint, 'the student')
    meta = {
        key: value
        for key, value in checkpoint.meta.items()
        if key in ('dataset_meta', 'epoch', 'iter', 'teachers')
    }
    state_dict = _part_of(network, part) if part else network.state_dict()
    os.makedirs(out_dir, exist_ok=True)
    write_weights(weights, state_dict, meta)
    if part:
        return weights, None
    for key in ('load_from', 'resume', 'work_dir', 'launcher'):
        plain.pop(key, None)
    plain['load_from'], plain['resume'] = None, False
    if isinstance(meta.get('teachers'), dict):
        plain['teachers'] = meta['teachers']
    complete_for_inference(plain, family_of(network))
    text = config_text(plain.to_dict()).encode()
    keep_edited(config, text)
    write_bytes(config, text)
    return weights, config


def _student_weights(ckpt: str, raw: bool) -> 'Checkpoint':
    """The weights of a checkpoint; see :func:`export_student`."""
    from mmkd.utils.checkpoint import Checkpoint, read_checkpoint, read_file
    checkpoint = read_checkpoint(ckpt)
    if not raw:
        return checkpoint
    # mmengine stores the average under the key of plain weights, and the
    # trained weights in its place.
    ema = read_file(ckpt).get('ema_state_dict')
    if ema is None:
        raise CheckpointError(f'{ckpt} holds one set of weights, not two; '
                              'leave --raw out')
    trained = {
        key[len('module.'):]: value
        for key, value in ema.items() if key.startswith('module.')
    }
    return Checkpoint({
        **checkpoint.state_dict,
        **trained
    }, checkpoint.meta, ckpt)


def _part_of(network: torch.nn.Module, part: str) -> Dict[str, torch.Tensor]:
    """The weights of a module, by their keys in the network."""
    state_dict = network.state_dict()
    found = {
        key: value
        for key, value in state_dict.items() if key.startswith(f'{part}.')
    }
    if not found:
        parts = dict.fromkeys(key.split('.')[0] for key in state_dict)
        raise ConfigError(f'the student has no part {part!r} with weights; '
                          f'it has {", ".join(parts)}')
    return found


def inherit_weights(student: ConfigLike,
                    teacher: ConfigLike,
                    ckpt: Optional[str],
                    out: str,
                    part: Optional[str] = None,
                    seed: int = 0) -> str:
    """Write the weights of a student that starts from its teacher's.

    They are those of :class:`~mmkd.engine.hooks.InheritTeacherHook` with
    ``narrow=True``, as a checkpoint of the student's library.

    Args:
        student (str | dict | Config): The student's config.
        teacher (str | dict | Config): The teacher's config.
        ckpt (str, optional): Its weights, as in :class:`Teacher`; None for
            those from which its own training starts, such as ImageNet's.
        out (str): The file to write, ``.pth`` or ``.safetensors``.
        part (str, optional): The module to fill and to write, such as
            ``'backbone'``. Defaults to None: all.
        seed (int): Seed of what the teacher does not give. Defaults to 0.

    Returns:
        str: What the student starts from, in words.

    Raises:
        CheckpointError: If the teacher's weights cannot be read.
        ConfigError: If the networks have nothing in common, the student has
            no such part, or the file to write exists.
    """
    from mmkd.core.model import DistillationModel
    from mmkd.core.network import build_network
    from mmkd.engine.hooks import InheritTeacherHook
    from mmkd.utils.checkpoint import write_weights
    check_free(out)
    set_random_seed(seed)
    if ckpt is None:
        given: Dict[str, Any] = dict(cfg=build_network(teacher, 'the teacher'))
        _initialise(given['cfg'])
    else:
        given = dict(cfg=teacher, ckpt=ckpt)
    model = DistillationModel(student, dict(teacher=given), {})
    _initialise(model)
    hook = InheritTeacherHook(part or 'all', narrow=True)
    hook.fill(model)
    os.makedirs(osp.dirname(out) or '.', exist_ok=True)
    write_weights(
        out,
        _part_of(model.student, part) if part else model.student.state_dict(),
        dict(teachers=dict(teacher=model.teachers['teacher'].origin)))
    return hook.account


def list_taps(cfg: ConfigLike,
              size: Tuple[int, int] = (128, 128),
              depth: Optional[int] = None) -> Dict[str, List[List[str]]]:
    """List the tensors that can be tapped in the networks of a config.

    Args:
        cfg (str | dict | Config): A plain or a distillation config; no
            weights are loaded.
        size (tuple[int, int]): Height and width of the synthetic image in
            pixels. Defaults to (128, 128).
        depth (int, optional): Maximum depth of the listed modules, 1 for
            ``backbone``. Defaults to None, which lists all.

    Returns:
        dict[str, list[list[str]]]: For each network by name, the rows
        (tap, module, calls, output, standard place).
    """
    from mmkd.core.network import build_network
    from mmkd.core.taps.dry_run import trace
    from mmkd.core.taps.tap import Tap
    from mmkd.families import family_of
    cfg = read_config(cfg)
    references: Dict[str, Any] = {'student': cfg}
    modes = {}
    if is_distillation(cfg):
        for name, teacher in cfg.model.get('teachers', {}).items():
            references[name] = teacher['cfg']
            modes[name] = teacher.get('mode', 'tensor')
    listed = {}
    for name, reference in references.items():
        network = build_network(reference, name)
        family = family_of(network)
        taps = [(Tap.parse(known.tap), place) for place in family.places
                for known in family.taps(network, place)]
        # The list is of what modules give.
        places = {
            tap.module: f'standard place {place!r}'
            for tap, place in taps if tap.where == 'output'
        }
        student = name == 'student'
        tried = ('loss', 'tensor') if student else family.trial_modes(
            network, modes[name])
        listed[name] = [[path, kind,
                         str(calls), what,
                         places.get(path, '')]
                        for path, kind, calls, what in trace(
                            network, name, size, tried, student)
                        if depth is None or path.count('.') < depth]
    return listed


def browse_distillation(cfg: Config,
                        checkpoints: Sequence[str] = (),
                        images: Union[int, Sequence[Union[int, str]]] = 2,
                        split: str = 'val',
                        out_dir: str = 'work_dirs/browse_distillation',
                        predictions: bool = True,
                        score_thr: float = 0.3) -> List[str]:
    """Draw the visuals of a config's distillers, without training.

    Args:
        cfg (Config): A distillation config.
        checkpoints (Sequence[str]): Checkpoints of its run, which hold the
            student and the distillers' modules. Several checkpoints also
            produce a strip over the training; without one, the networks
            are those at the start of training. Defaults to ().
        images (int | Sequence[int | str]): As in
            :class:`mmkd.visualization.Observer`. Defaults to 2.
        split (str): Data loader whose data set provides the images:
            ``'train'``, ``'val'`` or ``'test'``. Defaults to ``'val'``.
        out_dir (str): Folder for the pictures. Defaults to
            ``'work_dirs/browse_distillation'``.
        predictions (bool): Whether to show predictions as well. Defaults to
            True.
        score_thr (float): Minimum score of predicted boxes. Defaults to 0.3.

    Returns:
        list[str]: Paths of the figures.

    Raises:
        ConfigError: If it is not a distillation config, or lacks the data.
        CheckpointError: If a checkpoint cannot be read or does not fit.
    """
    from mmengine.device import get_device
    from mmengine.registry import DATASETS
    from mmengine.runner import set_random_seed

    from mmkd.registry import MODELS
    from mmkd.utils.rng import preserve_rng
    from mmkd.visualization import Gallery, Observer
    if not is_distillation(cfg):
        raise ConfigError(f'{cfg.filename or "the config"} distils nothing: '
                          'its model is no DistillationModel')
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        raise ConfigError(f'the config has no `{split}_dataloader`')
    seed = (cfg.get('randomness') or {}).get('seed') or 0
    with preserve_rng(), DefaultScope.overwrite_default_scope(
            cfg.get('default_scope')):
        # As in a run that starts from this config.
        set_random_seed(seed)
        observer = Observer(
            DATASETS.build(loader['dataset']), images, predictions, score_thr)
        model = dict(cfg.model)
        if cfg.get('data_preprocessor'):
            model.setdefault('data_preprocessor', cfg.data_preprocessor)
        model = MODELS.build(model)
        if not checkpoints:
            _initialise(model)
        model.to(get_device())
        gallery, paths = Gallery(out_dir), {}
        for order, file in enumerate(checkpoints or [None]):
            step = 0 if file is None else _load_all(model, file, order)
            for observation in observer.look(model):
                for path, _ in gallery.add(step, observation).values():
                    paths[path] = None
    return list(paths)


def _initialise(model: torch.nn.Module) -> None:
    """Initialise the weights without logging each of them."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    model.init_weights()
    logger.setLevel(level)


def _load_all(model: torch.nn.Module, path: str, order: int) -> int:
    """Load student and distillers; returns the iteration of the file."""
    from mmkd.core.state_keys import DISTILL_KEY
    from mmkd.utils.checkpoint import Checkpoint, load_weights, read_file
    content = read_file(path)
    if not isinstance(content, dict) or not isinstance(
            content.get('state_dict', content), dict):
        raise CheckpointError(f'{path} holds no weights (no `state_dict`)')
    state_dict = content.get('state_dict', content)
    load_weights(model.student, Checkpoint(state_dict, path=path),
                 'the student')
    own = {
        key[len(DISTILL_KEY):]: value
        for key, value in state_dict.items() if key.startswith(DISTILL_KEY)
    }
    if own:
        load_weights(model.distillers, Checkpoint(own, path=path),
                     'the distillers')
    elif model.distillers.state_dict():
        print_log(
            f'{path} holds the student alone: connectors and other modules '
            'of the distillers are untrained', 'current', logging.WARNING)
    meta = content.get('meta')
    step = meta.get('iter') if isinstance(meta, dict) else None
    return step if isinstance(step, int) else order
