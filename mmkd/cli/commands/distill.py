"""Distil a teacher into a student, given two configs.

Writes a short config to the work folder, and trains with it. Without
--method, chooses one by the task and the networks, and says why; `mmkd
advise` compares all methods that serve them. With --baseline, trains the
student alone as well and reports what distillation gained.
"""
import argparse
import gc
import os.path as osp
import re
import tempfile
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Dict, Iterator, Optional, Tuple

from mmkd.cli.commands.train import report, train
from mmkd.cli.options import (KeyValues, add_file, add_pair, add_train_options,
                              for_runner, name_of, quietly, teachers_of)
from mmkd.errors import MismatchError, UsageError
from mmkd.utils.collector import paused_collector

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmkd.engine.pair import Pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_pair(parser)
    parser.add_argument(
        '--method',
        help='its name; default: one that fits the networks; it is printed; '
        '`none` trains the student alone, with --inherit')
    parser.add_argument(
        '--inherit',
        action=argparse.BooleanOptionalAction,
        help="start the student from the teacher's weights: the leading "
        'channels if it has the same layers with fewer, otherwise those of '
        'neck and heads that fit; default: without --method, in the first '
        'case, unless it has trained weights of its own (docs/inherit.md)')
    parser.add_argument(
        '--path',
        metavar='FROM2TO',
        help='sensors of teacher and student, for a method across sensors, '
        'such as lidar2camera; default: those of the networks')
    add_file(
        parser,
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
        action=KeyValues,
        default={},
        metavar='KEY=VALUE',
        help='arguments of the method')
    add_file(
        parser,
        '--cache',
        metavar='DIR',
        help='folder to store the tensors of the teachers in, so that each '
        'input is computed once (docs/cache.md)')
    parser.add_argument(
        '--views',
        type=int,
        metavar='N',
        help='with --cache: number of random versions of each sample, if the '
        'pipeline never gives the same one twice')
    _add_images(parser)
    parser.add_argument(
        '--config-only',
        action='store_true',
        help='write the config and build the model, but do not train')
    parser.add_argument(
        '--baseline',
        action='store_true',
        help='then train the student alone too, with the same seed (0 if the '
        'config has none), in alone/ of the work folder, and write '
        'report.html there')
    add_train_options(parser)


def _add_images(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of images without labels."""
    add_file(
        parser,
        '--images',
        nargs='+',
        metavar='FOLDER',
        help='train without labels, on the images and videos of folders or '
        'lists; the data of the student is not used (docs/label_free.md)')
    for name, what in (('epochs', 'passes over the images; default 100'),
                       ('batch-size', 'images of a step; default 128'),
                       ('size', 'height and width of the crops in pixels; '
                        'default 224')):
        parser.add_argument(
            f'--{name}', type=int, metavar='N', help=f'with --images: {what}')
    add_file(
        parser,
        '--probe',
        metavar='FOLDER',
        help='with --images: a folder of images for each class, to validate on'
    )
    add_file(
        parser,
        '--unlabelled',
        nargs='+',
        metavar='FOLDER',
        help='distil on the images and videos of folders or lists too, beside '
        'the labelled data of the student (docs/label_free.md)')
    parser.add_argument(
        '--unlabelled-ratio',
        type=float,
        metavar='R',
        help='with --unlabelled: its images for each labelled one; default 1')


def run(args: argparse.Namespace) -> None:
    """Write the config and train."""
    teachers = teachers_of(args)
    if args.views is not None and args.cache is None:
        raise UsageError('--views needs --cache')
    data = dict(label_free=_label_free(args), unlabelled=_unlabelled(args))
    options = dict(args.method_options)
    if args.path:
        options['path'] = args.path
    pair = None
    if args.method is None or args.inherit:
        with quietly(args), paused_collector():
            pair = _pair(args)
    inherit = None if pair is None else _inherit(args, pair)
    if pair is not None and args.method is None:
        with quietly(args), paused_collector():
            fit, why = pair.choose(
                not any(data.values()),
                bool(inherit) and not (args.method_options or args.cache))
        args.method = fit.method
        options = fit.with_options(options)
        print(f'method: {fit.method} ({why}); --method NAME takes another one')
    method = re.sub('[^a-z0-9]', '', args.method.lower())
    if method == 'none':
        _check_none(args, inherit is not None)
        args.method = None
    if args.images and method == 'featurekd':
        with quietly(args), paused_collector():
            options = _with_taps(args, options, pair)
    first = next(iter(teachers.values()))[0]
    what = 'inherit' if method == 'none' else method
    name = f'{what}_{name_of(first)}_{name_of(args.student)}'
    args.work_dir = args.work_dir or osp.join('work_dirs', name)
    with quietly(args), paused_collector():
        cfg = _write_config(args, name, teachers, options,
                            dict(data, inherit=inherit))
        cfg = for_runner(cfg, args, name)
    if args.config_only:
        with _naming_others(args), quietly(args):
            summary = _summary(cfg)
        print(summary)
        return
    alone = _alone(cfg) if args.baseline else None
    with _naming_others(args), quietly(args):
        runner = train(cfg, args)
    report(runner, args.quiet)
    if alone is None:
        return
    del runner
    gc.collect()  # the memory of the teachers
    args.pictures = None
    args.resume = args.resume and 'auto'
    with quietly(args):
        runner = train(alone, args)
    report(runner, args.quiet)
    _compare(alone, args)


def _inherit(args: argparse.Namespace,
             pair: 'Pair') -> Optional[Dict[str, Any]]:
    """Arguments of the hook that starts the student from its teacher; None
    for a student that starts as its config says."""
    from mmkd.utils.config import read_config
    if args.inherit is False:
        return None
    if args.inherit is None:
        cfg = {**read_config(args.student), **(args.cfg_options or {})}
        if args.images or not pair.inherits or cfg.get('load_from'):
            return None
        print("start: the leading channels of the teacher's weights, since "
              'the student has its layers; --no-inherit leaves them out')
    elif not pair.is_narrower:
        own = type(pair.student).__name__
        others = [type(x.network).__name__ for x in pair.teachers.values()]
        if own not in others:
            raise UsageError(f'--inherit: the student ({own}) has none of the '
                             f'layers of the teacher ({", ".join(others)})')
    return dict(modules='all', narrow=True) if pair.is_narrower else {}


def _check_none(args: argparse.Namespace, inherits: bool) -> None:
    """Refuse ``--method none`` without --inherit, or with what a method
    reads."""
    if not inherits:
        raise UsageError('--method none leaves nothing of the teacher; add '
                         '--inherit, or train the student with `mmkd train`')
    for key in ('method_options', 'cache', 'images', 'unlabelled'):
        if getattr(args, key):
            raise UsageError(f'--{key.replace("_", "-")} needs a method')


def _label_free(args: argparse.Namespace) -> Optional[Dict[str, Any]]:
    """Options of a run without labels; None for one with labels."""
    given = {
        key: getattr(args, key)
        for key in ('epochs', 'batch_size', 'size', 'probe')
        if getattr(args, key) is not None
    }
    if args.images is None:
        if given:
            option = next(iter(given)).replace('_', '-')
            raise UsageError(f'--{option} needs --images')
        return None
    if args.baseline:
        raise UsageError('--baseline trains the student alone on its labels, '
                         'which --images leaves out; give one of them')
    if args.probe is not None:
        given['probe'] = osp.abspath(args.probe)
    return dict(data=[osp.abspath(path) for path in args.images], **given)


def _unlabelled(args: argparse.Namespace) -> Optional[Dict[str, Any]]:
    """Options of unlabelled images beside the labelled ones."""
    ratio = {} if args.unlabelled_ratio is None else dict(
        ratio=args.unlabelled_ratio)
    if args.unlabelled is None:
        if ratio:
            raise UsageError('--unlabelled-ratio needs --unlabelled')
        return None
    if args.images is not None:
        raise UsageError('--images leaves out the labelled data, to which '
                         '--unlabelled adds; give one of them')
    return dict(data=[osp.abspath(path) for path in args.unlabelled], **ratio)


def _alone(cfg: 'Config') -> 'Config':
    """The run of the student alone, with the seed of the distillation."""
    from mmengine.config import Config

    from mmkd.engine.checks.fast import raise_all
    from mmkd.engine.checks.settings import evaluator_problems
    from mmkd.engine.configs import FAST_KEYS, student_only
    if (cfg.get('randomness') or {}).get('seed') is None:
        cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': 0}
    # Refused before hours of training.
    raise_all(list(evaluator_problems(cfg, f'{_split(cfg)}_evaluator')))
    plain = student_only(cfg, keep_metrics=True)
    plain.update(
        {key: cfg.model[key]
         for key in FAST_KEYS if key in cfg.model})
    plain.work_dir = osp.join(cfg.work_dir, 'alone')
    plain.launcher = cfg.launcher
    if plain.get('visualizer'):
        # mmengine shares visualizers of one name, and so their log.
        plain.visualizer['name'] = 'alone'
    return Config(
        plain.to_dict(),
        cfg_text=plain.text or '\n',
        filename=osp.join(plain.work_dir, 'student.py'))


def _split(cfg: 'Config') -> str:
    """The data to compare on: those of the test, or else the validation."""
    from mmkd.report.evaluation import check_split
    split = 'test' if cfg.get('test_evaluator') else 'val'
    check_split(cfg, split)
    return split


def _compare(alone: 'Config', args: argparse.Namespace) -> None:
    """Write the report of both runs."""
    from mmengine.dist import get_world_size, is_main_process

    from mmkd import report as reports
    folders = [alone.work_dir, args.work_dir]
    if get_world_size() > 1:  # the tests need all data in one process
        if is_main_process():
            print(f'for the report: mmkd compare {" ".join(folders)}')
        return
    with quietly(args):
        result = reports.compare(folders, _split(alone))
        files = reports.write_report(
            result, reports.free_path(osp.join(args.work_dir, 'report.html')))
    print(reports.headline(result)[1], *files, sep='\n')


def _pair(args: argparse.Namespace) -> 'Pair':
    """The networks, without their weights."""
    from mmkd.core.class_subset import classes_to_keep
    from mmkd.engine.pair import Pair
    from mmkd.utils.foundation import fetched
    return Pair(
        args.student, {
            name:
            dict(
                cfg=fetched(cfg, ckpt)[0],
                ckpt='random',
                classes=classes_to_keep(args.student, cfg))
            for name, (cfg, ckpt) in teachers_of(args).items()
        })


def _with_taps(args: argparse.Namespace, options: Dict[str, Any],
               pair: Optional['Pair']) -> Dict[str, Any]:
    """Options of FeatureKD with taps in the student, if they have none."""
    from mmkd.engine.pair_config import method_options
    options = method_options('FeatureKD', options)
    if 'student' in options:
        return options
    taps = (pair or _pair(args)).label_free_taps(options)
    return {**options, 'student': taps} if taps else options


@contextmanager
def _naming_others(args: argparse.Namespace) -> Iterator[None]:
    """Add the methods that serve the networks to the error that one does
    not."""
    try:
        yield
    except MismatchError as error:
        others = [fit.command for fit in _pair(args).fits() if not fit.reason]
        raise MismatchError(
            f'{str(error).rstrip(".")}. Methods that serve these networks: '
            f'{", ".join(others) or "none"}') from None


def _write_config(args: argparse.Namespace, name: str,
                  teachers: Dict[str, Tuple[str, Optional[str]]],
                  options: Dict[str,
                                Any], more: Dict[str,
                                                 Optional[dict]]) -> 'Config':
    from mmkd import apis
    from mmkd.engine.processes import is_first
    from mmkd.utils.files import only_trainer
    path = osp.join(args.work_dir, f'{name}.py')
    with ExitStack() as stack:
        given = path
        if not is_first(args.launcher):  # one process writes
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            given = osp.join(folder, f'{name}.py')
        elif osp.lexists(osp.join(args.work_dir, '.training')):
            # Not under a run that goes on.
            stack.enter_context(only_trainer(args.work_dir))
        cache = args.cache and dict(dir=osp.abspath(args.cache))
        if cache and args.views is not None:
            cache['views'] = args.views
        cfg = apis.write_distillation_config(args.student, teachers,
                                             args.method, given, options,
                                             args.imports, cache, **more)
        with open(given, encoding='utf-8') as file:
            print(f'wrote {path}:\n\n{file.read()}')
    return cfg


def _summary(cfg) -> str:
    """Build the model of a distillation config, and describe it."""
    from mmkd.core.model import DistillationModel
    from mmkd.core.network import network_config
    from mmkd.engine.label_free import expand_label_free
    from mmkd.engine.unlabelled import expand_unlabelled
    expand_unlabelled(expand_label_free(cfg))
    model = dict(cfg.model)
    model.pop('type')
    student, scope = network_config(cfg, 'the student')
    with _scope(scope):
        return DistillationModel(**{**model, 'student': student}).summary()


def _scope(name: Optional[str]):
    from mmengine.registry import DefaultScope
    return DefaultScope.overwrite_default_scope(
        name) if name else nullcontext()
