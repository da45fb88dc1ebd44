import torch

from mmkd.ops import processes


def test_mean_over_the_processes(monkeypatch):

    def all_reduce(value, op):
        assert op == 'mean'
        value += 1

    value = torch.tensor(2.)
    assert processes.all_reduce_mean(value) == 2  # a single process
    monkeypatch.setattr(processes, 'all_reduce', all_reduce)
    assert processes.all_reduce_mean(value) == 3 and value == 2
