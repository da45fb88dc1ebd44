"""No file, class or function of mmkd is too long to be read in one go."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES = {'file': 500, 'class': 300, 'function': 80}
#: What may be longer, and why.
EXCEPTIONS = {}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def too_long(root):
    """Lines of what is too long, by ``path`` or ``path qualified.name``.

    Decorators count, comments above do not.
    """
    found = {}

    def check(name, kind, lines):
        if lines > LINES[kind]:
            found[name] = lines

    def visit(node, path, names):
        for child in ast.iter_child_nodes(node):
            inner = names
            if isinstance(child, DEFINITIONS):
                inner = [*names, child.name]
                start = min([child.lineno] +
                            [x.lineno for x in child.decorator_list])
                check(
                    f'{path} {".".join(inner)}',
                    'class' if isinstance(child, ast.ClassDef) else 'function',
                    child.end_lineno - start + 1)
            visit(child, path, inner)

    for file in sorted((root / 'mmkd').rglob('*.py')):
        text = file.read_text(encoding='utf-8')
        path = file.relative_to(root).as_posix()
        check(path, 'file', len(text.splitlines()))
        visit(ast.parse(text), path, [])
    return found


def test_nothing_is_too_long():
    found = too_long(ROOT)
    assert {k: v for k, v in found.items() if k not in EXCEPTIONS} == {}


def test_exceptions_are_needed():
    assert sorted(set(EXCEPTIONS) - set(too_long(ROOT))) == []


@pytest.mark.parametrize('text, name', [
    ('x = 1\n' * 501, ''),
    ('def f():\n' + '    x = 1\n' * 80, ' f'),
    ('async def f():\n' + '    x = 1\n' * 80, ' f'),
    ('@a\n@b\ndef f():\n' + '    x = 1\n' * 78, ' f'),
    ('class A:\n' + '    x = 1\n' * 300, ' A'),
    ('class A:\n    if x:\n        def f():\n' + '            x = 1\n' * 80,
     ' A.f'),
])
def test_length_is_measured(text, name, tmp_path):
    path = tmp_path / 'mmkd' / 'part' / 'code.py'
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert list(too_long(tmp_path)) == ['mmkd/part/code.py' + name]
    lines = text.splitlines(keepends=True)
    path.write_text(''.join(lines[:-1]))
    assert too_long(tmp_path) == {}
