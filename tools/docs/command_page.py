#!/usr/bin/env python
"""Write the reference of the command `mmkd` in docs/tools.md.

    PYTHONPATH=. python tools/docs/command_page.py
"""
import argparse
import re
from pathlib import Path

from mmkd import cli

PAGE = Path(__file__).resolve().parents[2] / 'docs/tools.md'
BEGIN = '<!-- below: written by tools/docs/command_page.py -->\n'
END = '<!-- above: written by tools/docs/command_page.py -->\n'


def overview() -> str:
    """A table of all commands."""
    lines = ['| command | what it does |', '|---|---|']
    for title, names in cli.GROUPS.items():
        lines.append(f'| **{title}** | |')
        lines += [
            f'| [`{name}`](#mmkd-{name}) | '
            f'{cli.summary_of(cli.load_command(name))} |' for name in names
        ]
    return '\n'.join(lines)


def describe(action: argparse.Action) -> str:
    """A row of the table of arguments."""
    value = action.metavar or action.dest.upper()
    if isinstance(value, tuple):
        value = ' '.join(value)
    if action.choices:
        value = '{' + ','.join(map(str, action.choices)) + '}'
    elif action.nargs in ('+', '*') and action.option_strings:
        value += ' ...'
    elif action.nargs == '?':
        value = f'[{value}]'
    names = ', '.join(action.option_strings)
    if not names:
        names = action.metavar or action.dest
    elif action.nargs != 0:
        names += f' {value}'
    text = ' '.join((action.help or '').split()).replace('|', r'\|')
    if action.required and action.option_strings:
        text = f'required; {text}' if text else 'required'
    return f'| `{names}` | {text} |'


def section(name: str) -> str:
    """Description and arguments of one command."""
    module = cli.load_command(name)
    parser = argparse.ArgumentParser(add_help=False)
    module.add_arguments(parser)
    rows = [
        describe(action) for action in parser._actions
        if action.help is not argparse.SUPPRESS
    ]
    return '\n'.join([
        f'### mmkd {name}', '',
        module.__doc__.strip(), '', '| argument | |', '|---|---|', *rows
    ])


def reference() -> str:
    """All that is generated."""
    return '\n\n'.join([overview(), *map(section, cli.COMMANDS)]) + '\n'


def updated(text: str) -> str:
    """The page with its generated part renewed."""
    return re.sub(
        f'{re.escape(BEGIN)}.*{re.escape(END)}',
        lambda _: f'{BEGIN}\n{reference()}\n{END}',
        text,
        flags=re.S)


if __name__ == '__main__':
    PAGE.write_text(
        updated(PAGE.read_text(encoding='utf-8')), encoding='utf-8')
