from itertools import islice

import pytest
from mmengine.dataset import BaseDataset, DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler

from mmkd.data.mixed import (LastPhaseBatchSampler, MixedBatchSampler,
                             MixedDataset)
from mmkd.errors import ConfigError
from mmkd.registry import DATA_SAMPLERS
from mmkd.utils.data import own_pipeline


class Numbers(BaseDataset):

    def __init__(self, count, offset=0):
        self.count, self.offset = count, offset
        super().__init__(metainfo=dict(classes=('a', )))

    def load_data_list(self):
        return [dict(number=self.offset + i) for i in range(self.count)]


@pytest.fixture
def dataset():
    return MixedDataset(Numbers(7), Numbers(5, 100))


def batches(dataset, epoch=0, ratio=1.5, **options):
    sampler = DefaultSampler(dataset, seed=3)
    sampler.set_epoch(epoch)
    return list(MixedBatchSampler(sampler, 2, ratio, **options))


def test_last_phase():
    dataset = MixedDataset(Numbers(7), Numbers(7, 100))
    sampler = DefaultSampler(dataset, seed=3)
    batches = LastPhaseBatchSampler(sampler, 3, begin=2, count=2)
    whole = {}
    for epoch in range(3):
        sampler.set_epoch(epoch)
        whole[epoch] = list(batches), list(BatchSampler(sampler, 3, True))
    assert whole[1][0] == whole[1][1] and len(batches) == 2
    late, plain = whole[2]
    assert late == [[7 + i for i in batch[:2]] for batch in plain]
    assert all(dataset[i]['number'] >= 100 for batch in late for i in batch)


def test_dataset(dataset):
    assert len(dataset) == 7 and dataset.metainfo['classes'] == ('a', )
    assert [dataset[i]['number'] for i in (0, 6, 7, 11)] == [0, 6, 100, 104]
    dataset.pipeline = 'another'
    assert dataset.dataset.pipeline == 'another'
    assert own_pipeline(dataset).unlabelled is dataset.unlabelled


def test_the_labelled_part_is_as_alone(dataset):
    sampler = DefaultSampler(Numbers(7), seed=3)
    sampler.set_epoch(1)
    alone = list(sampler)
    for drop_last in (False, True):
        found = batches(dataset, 1, drop_last=drop_last)
        assert len(found) == (3 if drop_last else 4)
        own = [[i for i in batch if i < 7] for batch in found]
        assert sum(own, []) == alone[:6 if drop_last else 7]
        assert all(len([i for i in batch if i >= 7]) == 3 for batch in found)


def test_the_others_come_in_random_passes_through_all_epochs(dataset):
    found = [
        i for epoch in range(2) for batch in batches(dataset, epoch)
        for i in batch if i >= 7
    ]
    passes = [found[at:at + 5] for at in range(0, 20, 5)]
    assert all(sorted(part) == [7, 8, 9, 10, 11] for part in passes)
    assert len(set(map(tuple, passes))) > 1


def test_processes_take_turns(dataset, monkeypatch):
    whole = [i for batch in batches(dataset, ratio=1) for i in batch if i >= 7]
    parts = []
    for rank in (0, 1):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda:
                            (rank, 2))
        parts += [[
            i for batch in batches(dataset, ratio=1) for i in batch if i >= 7
        ]]
    assert len(parts[0]) == len(parts[1]) == 4
    assert [i for pair in zip(*parts) for i in pair] == whole


def test_endless_sampler_and_ratio(dataset):
    sampler = MixedBatchSampler(InfiniteSampler(dataset, seed=0), 4, 0.1)
    found = list(islice(sampler, 6))
    assert all(len(batch) == 5 and batch[-1] >= 7 for batch in found)
    for ratio in (0, True, float('inf'), float('nan'), '1'):
        with pytest.raises(ConfigError, match=f'number, not {ratio!r}'):
            MixedBatchSampler(InfiniteSampler(dataset), 4, ratio)


def test_batches_of_another_sampler(dataset):
    built = DATA_SAMPLERS.build(
        dict(
            type='mmkd.MixedBatchSampler',
            batch_sampler=dict(type='mmdet.AspectRatioBatchSampler')),
        default_args=dict(
            sampler=DefaultSampler(dataset, shuffle=False), batch_size=2))
    dataset.dataset.get_data_info = lambda i: dict(width=i % 2, height=1)
    assert [batch[:-2] for batch in built] == [[0, 2], [1, 3], [4, 6], [5]]
