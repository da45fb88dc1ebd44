from itertools import islice
from types import SimpleNamespace

import pytest

from mmkd.engine.sampling import endless_batches, training_batches


class Numbers:

    def __init__(self, count, others=0):
        self.count, self.unlabelled = count, range(others)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return index


def loader(*counts):
    return SimpleNamespace(dataset=Numbers(*counts), collate_fn=list)


def drawn(counts, size, batches):
    return list(islice(endless_batches(loader(*counts), size), batches))


def test_batches_of_given_samples():
    found = training_batches(loader(9), [0, 3, 6, 8, 1], 2)
    assert list(found) == [[0, 3], [6, 8], [1]]


def test_random_passes():
    found = drawn([6], 4, 6)
    assert found == drawn([6], 4, 6)
    images = sum(found, [])
    assert len(images) == 24
    for at in range(0, 24, 6):
        assert sorted(images[at:at + 6]) == list(range(6))


def test_unlabelled_ones_come_in_turn():
    kinds = [{image < 3 for image in batch} for batch in drawn([3, 5], 2, 6)]
    assert kinds == [{True}, {False}] * 3


@pytest.mark.parametrize('count', [8, 1])
def test_processes_share_a_pass(count, monkeypatch):
    found = []
    for rank in (0, 1):
        monkeypatch.setattr(
            'mmkd.engine.sampling.get_dist_info', lambda rank=rank: (rank, 2))
        found += sum(drawn([count], 2, 2), [])
    assert sorted(found) == sorted([*range(count)] * (8 // count))
