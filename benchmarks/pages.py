#!/usr/bin/env python
"""Write the pages of results out of the files in benchmarks/results.

    benchmarks/pages.py

That is the tables between `<!-- table: NAME -->` and `<!-- end of table -->`
in docs/results.md, docs/results, the README and the pages of the methods, and
the picture.
"""
import re
import sys
from functools import partial
from pathlib import Path
from typing import Dict, List

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import published  # noqa: E402
from benchmarks.detail_tables import TABLES, table  # noqa: E402
from benchmarks.published import TASKS, VERDICTS, Row  # noqa: E402

PAGE = ROOT / 'docs/results.md'
PICTURE = ROOT / 'docs/images/results.svg'
README = ROOT / 'README.md'
DETAILS = ROOT / 'docs/results'
METHODS = ROOT / 'docs/methods'

TABLE = re.compile(
    r'(<!-- table: (?P<name>[\w ]+) -->\n).*?(<!-- end of table -->)', re.S)


def best_of(rows: List[Row]) -> Row:
    """The row that speaks for a task: that of the best verdict, on real data
    where there is such a row; then the largest gain."""
    return max(
        rows,
        key=lambda row: (row.verdict == 'pays at equal time', not row.is_early,
                         row.sign, row.real, row.equal_time.mean))


def outcome(rows: List[Row]) -> str:
    """A sentence on the methods of a task, without its name."""
    # A row without a page is a control, such as one without a teacher.
    rows = [row for row in rows if row.page] or rows
    best = best_of(rows)
    wins = sum(row.verdict == 'pays at equal time' for row in rows)
    rank = 'the best' if best.equal_time.mean > 0 else 'the smallest loss'
    return (f'{wins} of {len(rows)} rows pay at equal time; {rank}: '
            f'{best.label}, {best.equal_time} {best.metric} on {best.data}')


def by_task(rows: List[Row]) -> Dict[str, List[Row]]:
    """The rows of the tasks that have any."""
    found = {task: [row for row in rows if row.task == task] for task in TASKS}
    return {task: part for task, part in found.items() if part}


def cost_of(row: Row) -> str:
    """The cost of a row as text."""
    ratio, error = row.cost
    return f'{ratio:.2f}' + ('' if error is None else f' ± {error:.2f}')


def method_table(rows: List[Row]) -> str:
    """The table of a task."""

    def cells(row: Row) -> List[str]:
        label = row.label
        if row.page:
            label = f'[{label}]({published.link_of(row.page)})'
        gains = ('not measured' if gain is None else f'{gain} {row.metric}'
                 for gain in (row.equal_time, row.equal_iters))
        scores = f'{row.alone:.1f}'
        if row.longer is not None:
            scores += f' → {row.longer:.1f}'
        if row.teacher is not None:
            scores += f' / {row.teacher:.1f}'
        return [
            label, f'**{row.verdict}**', *gains,
            cost_of(row), scores, f'{row.student}, {row.data}',
            str(row.seeds)
        ]

    return table([
        'method', 'verdict', 'gain, equal time', 'gain, equal iterations',
        'cost of a step', 'alone → longer / teacher', 'student, data', 'seeds'
    ], map(cells, rows))


def shown() -> Dict[str, List[Row]]:
    """The rows of the page, by task."""
    return by_task(published.rows())


def summary() -> str:
    """A line a task."""
    return ''.join(f'- **{task}**: {outcome(rows)}.\n'
                   for task, rows in shown().items())


def verdicts() -> str:
    """What the verdicts mean."""
    return table(['verdict', 'what it means'],
                 [[f'**{name}**', text] for name, text in VERDICTS.items()])


def tasks() -> str:
    """A section a task."""
    missing = published.unmeasured(published.rows())
    parts = []
    for task, rows in shown().items():
        text = f'## {task}\n\n{method_table(rows)}\n'
        if task in missing:
            links = ', '.join(
                f'[{published.pages()[x]}]({published.link_of(x)})'
                for x in missing[task])
            text += f'**Not measured yet**: {links}.\n\n'
        text += f'[All scores, and what they mean](results/{TASKS[task]}.md)\n'
        parts.append(text)
    return '\n'.join(parts)


def evidence(page: str) -> str:
    """The rows of a method, for its page."""
    rows = [row for row in published.rows() if row.page == page]
    if not rows:
        return 'Not measured yet.\n'
    return table([
        '[does it pay?](../results.md)', 'gain, equal time', 'cost of a step',
        'student, data'
    ], ([
        f'{row.label}: **{row.verdict}**', f'{row.equal_time} {row.metric}',
        cost_of(row), f'{row.student}, {row.data}'
    ] for row in rows))


def readme_table() -> str:
    """The table of the README, a line a task."""
    return table(['task', 'does it pay?'],
                 [[f'[{task}](docs/results.md#{anchor(task)})',
                   outcome(rows)] for task, rows in shown().items()])


def anchor(heading: str) -> str:
    """The anchor that Markdown makes of a heading."""
    return re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')


def filled(text: str) -> str:
    """A page with its tables renewed."""
    tables = dict(
        TABLES,
        readme=readme_table,
        summary=summary,
        verdicts=verdicts,
        tasks=tasks,
        **{
            f'evidence {page}': partial(evidence, page)
            for page in published.pages()
        })

    def renew(match: 're.Match') -> str:
        return f'{match[1]}\n{tables[match["name"]]()}\n{match[3]}'

    return TABLE.sub(renew, text)


def texts() -> Dict[Path, str]:
    """All pages, and what they should hold."""
    pages = [
        README, PAGE, *sorted(DETAILS.glob('*.md')),
        *sorted(METHODS.glob('*.md'))
    ]
    return {path: filled(path.read_text(encoding='utf-8')) for path in pages}


def main() -> None:
    """Write the pages and the picture."""
    from benchmarks.picture import picture
    for path, text in texts().items():
        path.write_text(text, encoding='utf-8')
    PICTURE.write_text(picture(shown()), encoding='utf-8')


if __name__ == '__main__':
    main()
