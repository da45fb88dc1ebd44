"""Options that several subcommands share."""
import argparse
import io
import logging
import os
import os.path as osp
import re
import warnings
from contextlib import contextmanager, redirect_stdout
from typing import (TYPE_CHECKING, Any, Dict, Iterator, Optional, Sequence,
                    Tuple)

from mmkd.errors import ConfigError, UsageError
from mmkd.utils.foundation import has_weights, plain_name

if TYPE_CHECKING:
    from mmengine.config import Config

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
#: Completes the names of files, in the scripts of shtab.
FILE = dict(bash='_shtab_compgen_files', zsh='_files')
CONFIG = 'a config file, package::path, or timm::NAME and the like'
#: Warnings of torch about the libraries' code, which no user can act on.
_NOISE = ('``build_loss`` would be', 'dir_offset and dir_limit_offset will',
          'DeprecationWarning: pos_bboxes is', r'`torch\.cuda\.amp\.',
          r'torch\.meshgrid: in an upcoming',
          "'pin_memory' argument is set as true but no")


class KeyValues(argparse.Action):
    """mmengine's ``DictAction``, imported only when it is used."""

    def __call__(self,
                 parser: argparse.ArgumentParser,
                 namespace: argparse.Namespace,
                 values: Any,
                 option_string: Any = None) -> None:
        from mmengine.config import DictAction
        for value in values:
            if '=' not in value:
                parser.error(f'{option_string} takes key=value, not {value!r}')
        try:
            DictAction(
                self.option_strings, self.dest,
                nargs=self.nargs)(parser, namespace, values, option_string)
        except (AssertionError, RecursionError):
            parser.error(f'{option_string}: cannot read {" ".join(values)}; '
                         'values are words, numbers, [lists] and (tuples); '
                         'give the keys of a dict one by one: a.b=1 a.c=2')


def add_file(parser: Any, name: str, **kwargs: Any) -> None:
    """Add an argument whose value is a file."""
    parser.add_argument(name, **kwargs).complete = FILE


def add_pair(parser: argparse.ArgumentParser) -> None:
    """Add the student and its teachers."""
    add_file(parser, 'student', help=f'its config: {CONFIG}')
    add_file(
        parser,
        '--teacher',
        required=True,
        action='append',
        metavar='[NAME=]CONFIG',
        help="its config; the name is 'teacher' if left out. May be given "
        'several times, for methods with several teachers: --teacher '
        'lidar.py --teacher assistant=assistant.py')
    add_file(
        parser,
        '--teacher-ckpt',
        default=[],
        action='append',
        metavar='[NAME=]FILE',
        help="its weights, which it must have: a file, 'official' for those "
        "its library publishes, or 'random' to leave it untrained")


def teachers_of(
        args: argparse.Namespace) -> Dict[str, Tuple[str, Optional[str]]]:
    """Config and weights of each teacher by name.

    Raises:
        UsageError: If a teacher is named twice, or lacks one of them.
    """
    configs = _by_name('--teacher', args.teacher)
    weights = _by_name('--teacher-ckpt', args.teacher_ckpt)
    for name in {**configs, **weights}:
        if name in configs and has_weights(configs[name]):
            continue
        if name not in weights or name not in configs:
            option = '--teacher' if name in weights else '--teacher-ckpt'
            value = '...' if name == 'teacher' else f'{name}=...'
            choice = "; it is a file, 'official' or 'random'" * (
                option == '--teacher-ckpt')
            raise UsageError(f'teacher {name!r} has no {option}; add {option} '
                             f'{value}{choice}')
    return {name: (configs[name], weights.get(name)) for name in configs}


def _by_name(option: str, values: Sequence[str]) -> Dict[str, str]:
    found: Dict[str, str] = {}
    for value in values:
        # Such as epoch=3.ckpt, if that is a file.
        match = None if osp.exists(value) else re.fullmatch(
            r'([A-Za-z_]\w*)=(.+)', value, re.S)
        name, value = match.groups() if match else ('teacher', value)
        if name in found:
            raise UsageError(f'{option} is given twice for {name!r}; name the '
                             f'others, as in {option} assistant=...')
        found[name] = value
    return found


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--verbose``."""
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        '--quiet',
        action='store_true',
        help='print only results and errors; log files stay complete')
    level.add_argument(
        '--verbose', action='store_true', help='also log debug messages')


def add_cfg_options(parser: Any) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=KeyValues,
        metavar='KEY=VALUE',
        help='override settings of the config; write nested keys as a.b.c=1, '
        'lists as "[1,2]"')


def add_device(parser: Any) -> None:
    """Add ``--device``."""
    parser.add_argument(
        '--device',
        type=_device,
        metavar='{cpu,cuda,cuda:N}',
        help='device to compute on; default: the first GPU, if there is one')


def add_seed(parser: Any) -> None:
    """Add ``--seed``."""
    parser.add_argument(
        '--seed',
        type=int,
        help='random seed; default: that of the config (randomness.seed)')


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every run: folder, config, device, launcher."""
    add_file(
        parser,
        '--work-dir',
        help='folder for logs and checkpoints; default: '
        'work_dirs/ and the name of the config')
    add_cfg_options(parser)
    add_device(parser)
    parser.add_argument(
        '--launcher',
        choices=LAUNCHERS,
        default='none',
        help='launcher that started the processes')
    # torchrun sets LOCAL_RANK; older launchers pass it.
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help=argparse.SUPPRESS)


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a training."""
    add_run_options(parser)
    add_seed(parser)
    add_file(
        parser,
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from a checkpoint; without a file, from the last one in '
        'the work folder')
    parser.add_argument(
        '--amp', action='store_true', help='train with mixed precision')
    parser.add_argument(
        '--fast',
        action='store_true',
        help='--amp, the student in channels_last and, on a GPU, its backbone '
        'compiled, each where that is safe; the same for a plain network')
    parser.add_argument(
        '--pictures',
        nargs='?',
        const=500,
        type=int,
        metavar='INTERVAL',
        help='draw the visuals of the methods every INTERVAL iterations, 500 '
        'by default')


def read(args: argparse.Namespace) -> 'Config':
    """Read the config that the arguments name, with ``--cfg-options``."""
    from mmkd.utils.config import read_config
    return with_options(read_config(args.config), args)


def with_options(cfg: 'Config', args: argparse.Namespace) -> 'Config':
    """Apply ``--cfg-options``, ``--seed`` and ``--verbose``."""
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if getattr(args, 'seed', None) is not None:
        cfg.randomness = {**(cfg.get('randomness') or {}), 'seed': args.seed}
    if args.verbose:
        cfg.log_level = 'DEBUG'
    return cfg


def for_runner(cfg: 'Config', args: argparse.Namespace, name: str) -> 'Config':
    """Apply the options of :func:`add_run_options`.

    Args:
        cfg (Config): The config.
        args (Namespace): The arguments.
        name (str): Name of the work folder, if neither the arguments nor the
            config have one.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = with_options(cfg, args)
    cfg.launcher = args.launcher
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        cfg.work_dir = osp.join('work_dirs', name)
    if 'runner_type' in cfg and not isinstance(cfg.runner_type, str):
        raise ConfigError('runner_type must be a name')
    return cfg


def name_of(config: str) -> str:
    """Name of a config: that of its file, without suffix, or of a network of
    another library."""
    return plain_name(config) or osp.splitext(osp.basename(config))[0]


def _device(text: str) -> str:
    if not re.fullmatch(r'cpu|cuda(:\d+)?', text):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no device; write cpu, cuda or cuda:N')
    return text


def use_device(args: argparse.Namespace) -> None:
    """Let this process see no other device than that of ``--device``.

    mmengine picks the device of a run itself, when it is imported.

    Raises:
        ConfigError: If torch does not find the device.
    """
    device = getattr(args, 'device', None)
    if device is None:
        return
    kind, _, index = device.partition(':')
    if index and getattr(args, 'launcher', 'none') != 'none':
        raise ConfigError(f'--device {device} with --launcher: each process '
                          'takes its own GPU; choose those by '
                          'CUDA_VISIBLE_DEVICES')
    if kind == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
        return
    if index:
        visible = os.environ.get('CUDA_VISIBLE_DEVICES')
        names = visible.split(',') if visible else None
        if names is None or int(index) < len(names):
            os.environ['CUDA_VISIBLE_DEVICES'] = (
                names[int(index)].strip() if names else index)
        else:
            raise ConfigError(f'--device {device}: CUDA_VISIBLE_DEVICES has '
                              f'{len(names)} devices')
    import torch
    if not torch.cuda.is_available():
        raise ConfigError(f'--device {device}: torch finds no such device; '
                          'check nvidia-smi and torch.version.cuda, or use '
                          '--device cpu')


class _Nowhere(io.TextIOBase):
    """A stream that drops what is written."""

    def write(self, text: str) -> int:
        return len(text)


def hide_noise() -> None:
    """Hide the warnings of the libraries that no user can act on."""
    for message in _NOISE:
        warnings.filterwarnings('ignore', message)


@contextmanager
def quietly(args: argparse.Namespace) -> Iterator[None]:
    """With ``--quiet``, drop standard output and Python's warnings.

    This is more than mmengine's log level does: the libraries print as well,
    and the log file keeps its lines.
    """
    if not args.quiet:
        yield
        return
    with redirect_stdout(_Nowhere()), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        yield


@contextmanager
def only_results(args: argparse.Namespace) -> Iterator[None]:
    """Without ``--verbose``, drop what the libraries print, log and warn of,
    except errors."""
    if args.verbose:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(_Nowhere()), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
