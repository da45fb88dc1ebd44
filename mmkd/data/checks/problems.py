"""What is wrong with data, in one line each."""
from typing import Iterator, List, NamedTuple, Sequence, Tuple

from mmkd.errors import DataError


class Problem(NamedTuple):
    """A fault in a data file, and how to mend it.

    Attributes:
        file (str): Path of the file at fault.
        entry (str): The record in an index file, or ''.
        what (str): The fault.
        remedy (str): What the user can do, or ''.
    """

    file: str
    entry: str
    what: str
    remedy: str = ''

    def __str__(self) -> str:
        parts = (self.file, f'{self.entry} {self.what}'.strip())
        return ': '.join(filter(
            None, parts)) + (f'; {self.remedy}' if self.remedy else '')


def raise_problems(problems: Sequence[Problem],
                   hint: str = '',
                   limit: int = 10,
                   alike: int = 3) -> None:
    """Raise an error that shows the problems, different kinds first.

    Args:
        problems (Sequence[Problem]): The problems; nothing happens if empty.
        hint (str): Text after the last line. Defaults to ''.
        limit (int): Number of problems to show. Defaults to 10.
        alike (int): Number of problems of one kind to show. Defaults to 3.

    Raises:
        DataError: With one line for each problem shown, and one that counts
            the others.
    """
    if not problems:
        return
    lines = [
        ' '.join(str(x).split()) for x in _by_kind(problems, alike)[:limit]
    ]
    rest = len(problems) - len(lines)
    if rest:
        lines.append(f'{rest} more problem{"s" * (rest > 1)} of the data')
    raise DataError(*lines[:-1], lines[-1] + hint)


def _by_kind(problems: Sequence[Problem], alike: int) -> List[Problem]:
    """One problem of each kind and file before all others; at most ``alike``
    of each."""

    def ranked() -> Iterator[Tuple[int, int, Problem]]:
        counts: dict = {}
        for i, problem in enumerate(problems):
            kind = problem.file if problem.entry else '', problem.remedy
            counts[kind] = counts.get(kind, -1) + 1
            yield counts[kind], i, problem

    return [problem for rank, _, problem in sorted(ranked()) if rank < alike]
