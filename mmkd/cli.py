"""The command line: parses arguments and calls :mod:`mmkd.apis`."""
import argparse
import os
import os.path as osp
import re
import tempfile
from contextlib import ExitStack
from typing import Optional, Sequence

from mmengine.config import Config, DictAction

from mmkd import apis
from mmkd.engine.processes import LAUNCHERS, is_first
from mmkd.engine.records import check_output
from mmkd.errors import ConfigError
from mmkd.utils.command import run  # noqa: F401
from mmkd.utils.config import read_config
from mmkd.utils.files import only_trainer
from mmkd.utils.table import format_table

Argv = Optional[Sequence[str]]


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--work-dir',
        help='folder for logs and checkpoints; default: '
        'work_dirs/<name of the config>')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config with key=value; write nested '
        'keys as a.b.c=1, lists as "[1,2]"')
    parser.add_argument(
        '--launcher',
        choices=LAUNCHERS,
        default='none',
        help='launcher that started the processes')
    # torchrun sets LOCAL_RANK; older launchers pass it.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    _add_run_options(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='resume from a checkpoint; without a file, from the last one in '
        'the work folder')
    parser.add_argument(
        '--amp', action='store_true', help='train with mixed precision')
    parser.add_argument(
        '--pictures',
        nargs='?',
        const=500,
        type=int,
        metavar='INTERVAL',
        help='draw the visuals of the methods every INTERVAL '
        'iterations, 500 by default')


def _run_config(args: argparse.Namespace, cfg: Config, name: str) -> Config:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        cfg.work_dir = osp.join('work_dirs', name)
    if 'runner_type' in cfg and not isinstance(cfg.runner_type, str):
        raise ConfigError('runner_type must be a name')
    return cfg


def _name_of(config: str) -> str:
    return osp.splitext(osp.basename(config))[0]


def _train(args: argparse.Namespace, cfg: Config) -> None:
    if args.amp:
        apis.use_amp(cfg)
    if args.pictures is not None:
        cfg.custom_hooks = [
            *(cfg.get('custom_hooks') or []),
            dict(
                type='mmkd.DistillationVisualizationHook',
                interval=args.pictures)
        ]
    if args.resume == 'auto':
        cfg.resume, cfg.load_from = True, None
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    apis.train(cfg)


def train(argv: Argv = None) -> None:
    """``tools/train.py``."""
    parser = argparse.ArgumentParser(
        description='Train: a distillation, or a plain model')
    parser.add_argument('config', help='a config file, or pkg::path')
    _add_train_options(parser)
    args = parser.parse_args(argv)
    cfg = read_config(args.config)
    _train(args, _run_config(args, cfg, _name_of(args.config)))


def test(argv: Argv = None) -> None:
    """``tools/test.py``."""
    parser = argparse.ArgumentParser(
        description='Evaluate a student; needs no teachers')
    parser.add_argument('config', help='the config of its training')
    parser.add_argument('checkpoint', help='checkpoint or exported student')
    _add_run_options(parser)
    parser.add_argument('--out', help='write the metrics to this JSON file')
    args = parser.parse_args(argv)
    cfg = read_config(args.config)
    cfg = _run_config(args, cfg, _name_of(args.config))
    if args.out:
        check_output(args.out, args.config, args.checkpoint)
    metrics = apis.test(cfg, args.checkpoint)
    if args.out:
        from mmengine.fileio import dump
        os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
        dump({
            k: float(v)
            for k, v in metrics.items()
        },
             args.out,
             file_format='json')


def export_student(argv: Argv = None) -> None:
    """``tools/export_student.py``."""
    parser = argparse.ArgumentParser(
        description="Write the student as a plain checkpoint and config, for "
        "its own library's tools")
    parser.add_argument('config', help='the distillation config')
    parser.add_argument('checkpoint', help='a checkpoint of the run')
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        '--out-dir', help="by default the checkpoint's folder, export/")
    where.add_argument(
        '--out',
        help='file for the weights, .pth or .safetensors; the config is '
        'beside it')
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--ema',
        action='store_true',
        help='export the averaged weights (the default if there are any)')
    which.add_argument(
        '--raw', action='store_true', help='export the trained weights')
    parser.add_argument(
        '--safetensors', action='store_true', help='write safetensors')
    args = parser.parse_args(argv)
    name, safetensors = 'student', args.safetensors
    out_dir = args.out_dir or osp.join(
        osp.dirname(args.checkpoint) or '.', 'export')
    if args.out:
        out_dir = osp.dirname(args.out) or '.'
        name, kind = osp.splitext(osp.basename(args.out))
        if kind not in ('.pth', '.safetensors') or (safetensors
                                                    and kind == '.pth'):
            raise ConfigError(f'--out {args.out}: the file is a .pth or a '
                              '.safetensors')
        safetensors = kind == '.safetensors'
    if args.ema and 'ema_state_dict' not in _content(args.checkpoint):
        raise ConfigError(f'{args.checkpoint} holds no averaged weights; '
                          'leave --ema out')
    for path in apis.export_student(args.config, args.checkpoint, out_dir,
                                    args.raw, safetensors, name):
        print(path)


def _content(checkpoint: str) -> dict:
    from mmkd.utils.checkpoint import read_file
    content = read_file(checkpoint)
    return content if isinstance(content, dict) else {}


def list_taps(argv: Argv = None) -> None:
    """``tools/list_taps.py``."""
    parser = argparse.ArgumentParser(
        description='List the tensors that can be tapped in the networks of '
        'a config')
    parser.add_argument('config', help='a plain or a distillation config')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(128, 128),
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the synthetic image in pixels')
    parser.add_argument(
        '--depth', type=int, help='maximum depth of the listed modules')
    parser.add_argument(
        '--match', help='list only taps that contain this text')
    args = parser.parse_args(argv)
    listed = apis.list_taps(args.config, tuple(args.size), args.depth)
    for name, rows in listed.items():
        rows = [r for r in rows if not args.match or args.match in r[0]]
        print(f'{name}: {len(rows)} places')
        print(format_table(['tap', 'module', 'calls', 'gives', ''], rows))
        print()


def replay_step(argv: Argv = None) -> None:
    """``tools/replay_step.py``."""
    from mmkd.engine.replay import replay_step
    parser = argparse.ArgumentParser(
        description='Repeat the forward pass of an iteration with a '
        'non-finite loss, and find the module where it started')
    parser.add_argument('config', help='the config of the run')
    parser.add_argument(
        'file',
        help='from non_finite/ in the work folder of one of your own runs; '
        'the file may run code')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config with key=value')
    args = parser.parse_args(argv)
    cfg = read_config(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    replay = replay_step(cfg, args.file)
    rows = [[name, value, replay.saved.get(name)]
            for name, value in replay.terms.items()]
    print(f'iteration {replay.iter}')
    print(format_table(['term', 'here', 'in the run'], rows))
    print('the first module with a non-finite output: '
          f'{replay.module or "none; a loss does"}')


def browse_distillation(argv: Argv = None) -> None:
    """``tools/browse_distillation.py``."""
    parser = argparse.ArgumentParser(
        description="Draw the visuals of a config's methods: masks, "
        'attention, distances between student and teacher')
    parser.add_argument('config', help='the distillation config')
    parser.add_argument(
        'checkpoints',
        nargs='*',
        metavar='checkpoint',
        help='checkpoints of its run; several also give a strip, none shows '
        'its start')
    parser.add_argument(
        '--images',
        nargs='+',
        metavar='IMAGE',
        help='indices into the data set, ends of paths in it, or other files, '
        'which have no ground truth')
    parser.add_argument(
        '--count',
        type=int,
        default=4,
        help='number of images, spread evenly over the data set, if there is '
        'no --images')
    parser.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        default='val',
        help='data set of the config')
    parser.add_argument('--out', help='by default work_dirs/<name>/pictures')
    parser.add_argument(
        '--no-predictions',
        action='store_true',
        help='do not show the predictions of student and teacher')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='minimum score of predicted boxes')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config with key=value')
    args = parser.parse_args(argv)
    cfg = read_config(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    images = args.count if args.images is None else [
        int(image) if image.isdecimal() else image for image in args.images
    ]
    out = args.out or osp.join('work_dirs', _name_of(args.config), 'pictures')
    for path in apis.browse_distillation(cfg, args.checkpoints, images,
                                         args.split, out,
                                         not args.no_predictions,
                                         args.score_thr):
        print(path)


def distill(argv: Argv = None) -> None:
    """``tools/distill.py``."""
    parser = argparse.ArgumentParser(
        description='Distil a teacher into a student, given two configs')
    parser.add_argument('student', help='config of the student, or pkg::path')
    parser.add_argument('--teacher', required=True, help='its config')
    parser.add_argument(
        '--teacher-ckpt',
        required=True,
        help="its weights: a file, or 'official' for those its library "
        "publishes")
    parser.add_argument('--method', default='bpkd')
    parser.add_argument(
        '--import',
        action='append',
        default=[],
        dest='imports',
        metavar='FILE_OR_MODULE',
        help='a file or module that registers a method of your own; a file is '
        'copied to the work folder; may be given several times')
    parser.add_argument(
        '--method-options',
        nargs='+',
        action=DictAction,
        default={},
        help='arguments of the method, as key=value')
    parser.add_argument(
        '--config-only',
        action='store_true',
        help='write the config and build the model, but do not train')
    _add_train_options(parser)
    args = parser.parse_args(argv)
    name = (f'{re.sub("[^a-z0-9]", "", args.method.lower())}_'
            f'{_name_of(args.teacher)}_{_name_of(args.student)}')
    args.work_dir = args.work_dir or osp.join('work_dirs', name)
    path = osp.join(args.work_dir, f'{name}.py')
    with ExitStack() as stack:
        given = path
        if not is_first(args.launcher):  # one process writes
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            given = osp.join(folder, f'{name}.py')
        elif osp.lexists(osp.join(args.work_dir, '.training')):
            # Not under a run that goes on.
            stack.enter_context(only_trainer(args.work_dir))
        cfg = apis.write_distillation_config(args.student, args.teacher,
                                             args.teacher_ckpt, args.method,
                                             given, dict(args.method_options),
                                             args.imports)
        with open(given, encoding='utf-8') as file:
            print(f'wrote {path}:\n\n{file.read()}')
    cfg = _run_config(args, cfg, name)
    if args.config_only:
        from mmkd.core.model import DistillationModel
        from mmkd.core.network import network_config
        model = dict(cfg.model)
        model.pop('type')
        student, scope = network_config(cfg, 'the student')
        with _scope(scope):
            model = DistillationModel(**{**model, 'student': student})
        print(model.summary())
        return
    _train(args, cfg)


def _scope(name: Optional[str]):
    from contextlib import nullcontext

    from mmengine.registry import DefaultScope
    return DefaultScope.overwrite_default_scope(
        name) if name else nullcontext()
