import copy
import pickle
import random
from itertools import islice
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from mmkd.engine.cache.views import ViewBatchSampler, ViewDataset, views_of
from mmkd.engine.resume.loader import ResumableLoader
from mmkd.engine.resume.memory import transforms_of
from mmkd.errors import ConfigError
from mmkd.utils.data import own_pipeline
from mmkd.utils.rng import random_state, set_random_state

SIZE, VIEWS = 7, 3


def noise(number):
    """A transform that draws from all three generators."""
    return (number, random.random(), np.random.rand(), torch.rand(1).item())


class Numbers:
    """A data set of numbers, behind a pipeline."""
    metainfo = dict(classes=['a'])

    def __init__(self):
        self.pipeline = [noise]

    def __len__(self):
        return SIZE

    def __getitem__(self, index):
        return self.pipeline[0](index)


def build(sampler='DefaultSampler', workers=0, seed=0):
    loader = Runner.build_dataloader(
        dict(
            dataset=Numbers(),
            sampler=dict(type=sampler, shuffle=True),
            batch_size=2,
            num_workers=workers,
            persistent_workers=bool(workers)),
        seed=3)
    return ResumableLoader(loader, VIEWS, seed)


def passes(loader, count, first=0):
    """Batches of some passes, with draws of a network in between."""
    found = []
    for epoch in range(first, first + count):
        loader.batch_sampler.set_epoch(epoch)
        for batch in loader:
            torch.rand(3), np.random.rand()
            found.append([
                tuple(float(value[i]) for value in batch)
                for i in range(len(batch[0]))
            ])
    return found


def by_sample(batches):
    found = {}
    for number, *values in sum(batches, []):
        found.setdefault(int(number), []).append(tuple(values))
    return found


@pytest.fixture(scope='module')
def six():
    torch.manual_seed(5)
    return passes(build(), 6)


def test_views_recur(six):
    for values in by_sample(six).values():
        assert len(values) == 6 and len(set(values)) == VIEWS
        assert values[:VIEWS] == values[VIEWS:]


def test_all_views_occur_in_each_pass(six):
    dataset = ViewDataset(Numbers(), 0)
    for number, values in by_sample(six).items():
        for epoch, seen in enumerate(values):
            view = (epoch + number) % VIEWS
            assert seen == pytest.approx(dataset[number, view][1:])


def test_workers_and_the_state_of_the_process_do_not_matter(six):
    torch.manual_seed(6), random.seed(6), np.random.seed(6)
    loader = build(workers=2)
    assert passes(loader, 2) == six[:8]
    assert passes(build(seed=1), 2) != six[:8]


@pytest.mark.parametrize('sampler', ['DefaultSampler', 'InfiniteSampler'])
def test_resuming_in_mid_epoch(sampler):
    whole = list(islice(build(sampler), 4))
    loader = build(sampler)
    iterator = iter(loader)
    next(iterator), next(iterator)
    place, state = pickle.loads(pickle.dumps(
        loader.state_dict())), random_state()
    resumed = build(sampler)
    resumed.load_state_dict(place, state)
    assert list(islice(resumed, 2)) == whole[2:]


def test_endless_samplers_count_passes():
    loader = build('InfiniteSampler')
    indices = sum(islice(iter(loader.batch_sampler), 21), [])
    for number in range(SIZE):
        views = [view for index, view in indices if index == number]
        assert views[:6] == [(i + number) % VIEWS for i in range(6)]


def test_processes_share_passes():
    indices = [0, 1, 2, 3]

    def views(rank):
        batches = [indices[rank::2], indices[rank::2]]
        sampler = ViewBatchSampler(batches, VIEWS, 4)
        sampler.batch_sampler = _Batches(batches, rank)
        return list(sampler)

    assert views(0) == [[(0, 0), (2, 2)], [(0, 1), (2, 0)]]
    assert views(1) == [[(1, 1), (3, 0)], [(1, 2), (3, 1)]]


def test_unlabelled_images_have_no_views():
    batches = [[0, 1, 4], [2, 3, 5], [0, 1, 6]]
    assert list(ViewBatchSampler(batches, VIEWS, 4)) == [
        [(0, 0), (1, 1), 4],
        [(2, 2), (3, 0), 5],
        [(0, 1), (1, 2), 6],
    ]


class _Batches(list):

    def __init__(self, batches, rank):
        super().__init__(batches)
        self.sampler = SimpleNamespace(world_size=2, rank=rank)


def test_other_random_numbers_stay():
    dataset = ViewDataset(Numbers(), 0)
    state = random_state()
    expected = noise(0)
    set_random_state(state)
    first = dataset[2, 1]
    assert noise(0) == expected
    random.seed(8), np.random.seed(8), torch.manual_seed(8)
    assert dataset[2, 1] == first != dataset[2, 2]
    assert dataset[2] != dataset[2]


def test_the_data_set_looks_as_before():
    inner = Numbers()
    dataset = ViewDataset(inner, 0)
    assert len(dataset) == SIZE and dataset.metainfo is inner.metainfo
    assert list(transforms_of(dataset)) == [noise]
    own = own_pipeline(dataset)
    own.dataset.pipeline.append(1)
    assert inner.pipeline == [noise] and own[1, 1] == dataset[1, 1]
    assert copy.deepcopy(dataset)[1, 1] == dataset[1, 1]
    assert pickle.loads(pickle.dumps(dataset))[1, 1] == dataset[1, 1]
    dataset.pipeline = [lambda number: number]
    assert inner[3] == 3


def test_one_number_for_all_teachers():

    def teachers(*views):
        return {
            f't{i}':
            SimpleNamespace(
                cache=SimpleNamespace(options=SimpleNamespace(views=each)))
            for i, each in enumerate(views)
        }

    assert views_of({}) is None
    assert views_of(dict(x=SimpleNamespace(cache=None))) is None
    assert views_of(teachers(4, 4)) == 4
    with pytest.raises(ConfigError, match='t0 has 4, t1 has None'):
        views_of(teachers(4, None))
