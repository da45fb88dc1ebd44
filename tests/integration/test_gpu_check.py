"""What can be tested of `make gpu-check` without a GPU."""
import pytest
import torch

from acceptance import gpu_check
from mmkd.testing.methods import METHOD_EXAMPLES


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_it_says_that_there_is_none(capsys):
    assert gpu_check.main([]) == 2
    assert 'There is no GPU' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['cwd', 'xray'])
def test_a_method_on_the_cpu(name):
    names = [x for x in METHOD_EXAMPLES if x.startswith(name)]
    found = gpu_check.check_method(METHOD_EXAMPLES[names[0]](), 'cpu')
    assert found['passed'] and found['difference'] == 0
    assert found['milliseconds'] > 0
    assert gpu_check.line('x', found).startswith('ok     x ')


def test_lines():
    found = dict(
        passed=False,
        difference=.5,
        waits={'losses.py:3': 2},
        finite=False,
        milliseconds=1.,
        peak_bytes=2**20)
    text = gpu_check.line('x', found)
    assert 'not finite' in text and 'waits 2x at losses.py:3' in text
    assert 'FAILED x' in gpu_check.line('x', dict(passed=False, error='why'))
