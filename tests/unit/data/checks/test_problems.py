"""Messages about several problems."""
import pytest

from mmkd.data.checks import Problem, raise_problems
from mmkd.errors import DataError


def test_at_most_ten_lines_different_kinds_first():
    problems = [
        Problem('a.json', f'annotations[{i}]', 'is wrong', 'mend it')
        for i in range(30)
    ]
    problems.append(Problem('a.json', 'images[0]', 'is odd', 'even it'))
    with pytest.raises(DataError) as error:
        raise_problems(problems, '; off')
    lines = error.value.lines
    assert len(lines) == 11
    assert lines[0] == 'a.json: annotations[0] is wrong; mend it'
    assert lines[1] == 'a.json: images[0] is odd; even it'
    assert lines[-1] == '21 more problems of the data; off'
    raise_problems([])
