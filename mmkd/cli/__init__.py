"""The command ``mmkd``.

Each subcommand is one module in :mod:`mmkd.cli.commands`:

- its docstring is the description, its first line the entry in ``--help``;
- ``add_arguments(parser)`` adds the arguments;
- ``run(args)`` runs it, and returns an exit code or None.

To add one, write the module and list it in :data:`GROUPS`. These modules
import torch and the libraries only when they run, so that ``mmkd --help`` is
fast.
"""
import argparse
import importlib
import sys
from types import ModuleType
from typing import NoReturn, Optional, Sequence

from mmkd.cli.options import add_verbosity, hide_noise, use_device
from mmkd.errors import UsageError
from mmkd.utils.command import run
from mmkd.utils.suggestions import did_you_mean
from mmkd.version import __version__

#: The subcommands, in the order of ``mmkd --help``.
GROUPS = {
    'Start here': ('demo', 'advise'),
    'Train, test, export':
    ('distill', 'inherit', 'train', 'test', 'compare', 'export'),
    'Look inside': ('check', 'taps', 'browse', 'replay'),
    'Data': ('scenes', 'complete', 'pseudo-label', 'cache'),
}
COMMANDS = tuple(name for names in GROUPS.values() for name in names)
#: Names of the files in tools/ that differ from those of the subcommands.
OLD_NAMES = {
    'export-student': 'export',
    'list-taps': 'taps',
    'browse-distillation': 'browse',
    'browse-scenes': 'browse',
    'make-scenes': 'scenes',
    'complete-objects': 'complete',
    'replay-step': 'replay',
}
SHELLS = ('bash', 'zsh')
_PAGE = """Knowledge distillation for dense vision on the OpenMMLab stack.

{commands}

examples:
  mmkd demo --quick
  mmkd distill mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py \\
      --teacher mmseg::pspnet/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024.py \\
      --teacher-ckpt official

`mmkd COMMAND --help` lists the options of a command. A config is a file, or
the name of one in a package: mmseg::, mmdet::, mmdet3d:: or mmkd::path.

exit codes: 0 success, 1 the command failed, 2 wrong usage or bad input,
130 interrupted

documentation: README.md and docs/ in the repository of mmkd; docs/tools.md
describes every command
"""


def load_command(name: str) -> ModuleType:
    """Import the module of a subcommand."""
    return importlib.import_module(
        f'mmkd.cli.commands.{name.replace("-", "_")}')


def summary_of(module: ModuleType) -> str:
    """The first line of a subcommand's description."""
    return (module.__doc__ or '').strip().splitlines()[0].rstrip('.')


def build_parser(
        listing: Optional[str] = argparse.SUPPRESS) -> argparse.ArgumentParser:
    """Build the parser of the command with all its subcommands.

    Args:
        listing (str, optional): Help of argparse's own list of the
            subcommands. Defaults to none, since the description has one.
    """
    modules = {name: load_command(name) for name in COMMANDS}
    groups = '\n\n'.join('\n'.join(
        [f'{title}:'] +
        [f'  {name:<14}{summary_of(modules[name])}' for name in names])
                         for title, names in GROUPS.items())
    parser = argparse.ArgumentParser(
        prog='mmkd',
        usage='mmkd COMMAND [options]',
        description=_PAGE.format(commands=groups),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--version', action='version', version=f'mmkd {__version__}')
    parser.add_argument(
        '--print-completion',
        choices=SHELLS,
        help='print a completion script for this shell')
    subparsers = parser.add_subparsers(
        prog='mmkd', dest='command', metavar='COMMAND', help=listing)
    for name, module in modules.items():
        subparser = subparsers.add_parser(
            name,
            help=summary_of(module),
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter)
        module.add_arguments(subparser)
        add_verbosity(subparser)
        subparser.set_defaults(parser=subparser)
    return parser


def call(argv: Sequence[str]) -> Optional[int]:
    """Run a subcommand in this process; its errors are raised.

    Args:
        argv (Sequence[str]): Its name and its arguments.

    Returns:
        int | None: The exit code.

    Raises:
        UsageError: If there is no such subcommand.
    """
    parser = build_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    name = argv[0]
    if not name.startswith('-'):
        name = name.replace('_', '-')
        name = OLD_NAMES.get(name, name)
        if name not in COMMANDS:
            raise UsageError(f'mmkd has no command {argv[0]!r}. '
                             f'{did_you_mean(name, COMMANDS)} Commands: '
                             f'{", ".join(COMMANDS)}')
    args, unknown = parser.parse_known_args([name, *argv[1:]])
    if unknown:
        _refuse(unknown, getattr(args, 'parser', parser), parser)
    if args.print_completion:
        print(completion(args.print_completion))
        return None
    if args.command is None:
        parser.error('no COMMAND')
    use_device(args)
    if not args.verbose:
        hide_noise()
    return load_command(args.command).run(args)


def _refuse(unknown: Sequence[str], used: argparse.ArgumentParser,
            whole: argparse.ArgumentParser) -> NoReturn:
    """Report arguments that a subcommand does not know."""
    option = unknown[0].split('=')[0]
    owners = [
        name for action in whole._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, parser in action.choices.items()
        if option in parser._option_string_actions
    ]
    hint = did_you_mean(option, used._option_string_actions)
    if owners:
        hint = f'{option} is an option of mmkd {", ".join(owners)}'
    used.error(f'unrecognized arguments: {" ".join(unknown)}. {hint}'.rstrip())


def completion(shell: str) -> str:
    """Generate the completion script of a shell."""
    import shtab
    return shtab.complete(build_parser('a command'), shell)


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command, report errors in one line, and exit.

    Args:
        argv (Sequence[str], optional): The arguments. Defaults to None, which
            means those of the process.
    """
    argv = sys.argv[1:] if argv is None else argv
    run(lambda: call(argv), resumes={*argv[:1]} <= {'train', 'distill'})
