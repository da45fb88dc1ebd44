"""Messages about several problems."""
import pytest

from mmkd.data.checks import Problem, raise_problems
from mmkd.errors import DataError


def test_a_few_lines_of_each_kind():
    problems = [
        Problem('a.json', f'annotations[{i}]', 'is wrong', 'mend it')
        for i in range(30)
    ]
    problems.append(Problem('a.json', 'images[0]', 'is odd', 'even it'))
    with pytest.raises(DataError) as error:
        raise_problems(problems, '; off')
    lines = error.value.lines
    assert len(lines) == 5
    assert lines[0] == 'a.json: annotations[0] is wrong; mend it'
    assert lines[1] == 'a.json: images[0] is odd; even it'
    assert lines[-1] == '27 more problems of the data; off'
    many = [Problem(f'{i}.json', '', 'is odd', f'way {i}') for i in range(30)]
    with pytest.raises(DataError) as error:
        raise_problems(many)
    assert len(error.value.lines) == 11
    raise_problems([])
