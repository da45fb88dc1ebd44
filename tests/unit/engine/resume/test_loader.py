import pickle
import random
from itertools import islice

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmkd.engine.resume import loader as module
from mmkd.engine.resume.loader import ResumableLoader, StatefulBatchSampler
from mmkd.utils.rng import random_state


class Noise:
    """A transform that draws from all three generators."""

    def __call__(self, number):
        return [
            number,
            random.random(),
            np.random.rand(),
            float(torch.rand(1))
        ]


class Remembers(Noise):
    """One that gives what it saw before, too."""

    def __init__(self):
        self.last = -1

    def __call__(self, number):
        self.last, last = number, self.last
        return [last, *super().__call__(number)]


class Numbers:
    """A data set of numbers, behind a pipeline."""

    def __init__(self, size=7, transform=Noise):
        self.size, self.pipeline = size, [transform()]

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return self.pipeline[0](index)


def build(workers=0,
          persistent=False,
          sampler='InfiniteSampler',
          transform=Noise,
          kind=ResumableLoader):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    loader = Runner.build_dataloader(
        dict(
            dataset=Numbers(transform=transform),
            sampler=dict(type=sampler, shuffle=True),
            batch_size=2,
            num_workers=workers,
            persistent_workers=persistent),
        seed=3)
    assert type(loader) is DataLoader
    return loader if kind is DataLoader else kind(loader)


def set_epoch(loader, epoch):
    """As mmengine does."""
    for sampler in (loader.sampler, loader.batch_sampler.sampler):
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)
            break


def batches(loader, first_pass=0):
    """Endless batches, as mmengine's loops take them. The draws in between
    stand for a network's."""
    epoch = first_pass
    while True:
        set_epoch(loader, epoch)
        for batch in loader:
            torch.rand(3)
            yield batch
        epoch += 1


def go_on(place, state, **options):
    loader = build(**options)
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    # As a checkpoint is: plain data.
    loader.load_state_dict(pickle.loads(pickle.dumps(place)), state)
    return loader


@pytest.mark.parametrize('sampler, workers, persistent',
                         [('InfiniteSampler', 0, False),
                          ('DefaultSampler', 0, False),
                          ('InfiniteSampler', 2, True),
                          ('DefaultSampler', 2, True),
                          ('DefaultSampler', 2, False)])
def test_goes_on_where_it_was(sampler, workers, persistent):
    options = dict(workers=workers, persistent=persistent, sampler=sampler)
    plain = list(islice(batches(build(kind=DataLoader, **options)), 11))
    plain_state = random_state()
    loader = build(**options)
    given = batches(loader)
    expected, places = [], []
    # Passes of four batches; two workers, whose turns that divides or not.
    for _ in range(11):
        expected.append(next(given))
        places.append((loader.state_dict(), random_state()))
    assert expected == plain
    assert str(random_state()) == str(plain_state)
    for stop in (5, ) if workers else (3, 4, 5):
        other = go_on(*places[stop - 1], **options)
        rest = list(
            islice(batches(other, places[stop - 1][0]['passes']), 11 - stop))
        assert rest == expected[stop:]
        assert str(other.state_dict()) == str(places[-1][0])


@pytest.mark.parametrize('workers', [0, 1])
def test_end_of_an_epoch(workers):
    """A checkpoint is saved when the last batch has been used up."""
    options = dict(workers=workers, sampler='DefaultSampler')
    loader, epochs = build(**options), []
    for epoch in range(3):
        set_epoch(loader, epoch)
        epochs.append(list(loader))
        if epoch == 1:
            place, state = loader.state_dict(), random_state()
    assert (place['passes'], place['batches']) == (2, 0)
    other = go_on(place, state, **options)
    assert list(other) == epochs[2]
    assert len(epochs[2]) == len(other) == 4


@pytest.mark.parametrize('workers', [0, 1])
def test_transforms_that_remember(workers, monkeypatch):
    said = []
    monkeypatch.setattr(module, 'print_log',
                        lambda text, *_: said.append(text))
    options = dict(
        workers=workers,
        persistent=bool(workers),
        sampler='DefaultSampler',
        transform=Remembers)
    loader = build(**options)
    given = batches(loader)
    list(islice(given, 6))
    place, state = loader.state_dict(), random_state()
    assert place['changing'] == ['Remembers'] and not said
    expected = next(given)
    other = go_on(place, state, **options)
    assert next(batches(other, place['passes'])) == expected
    assert 'Remembers remember(s) earlier samples' in said[0]


def test_another_loader_takes_the_place_alone(monkeypatch):
    said = []
    monkeypatch.setattr(module, 'print_log',
                        lambda text, *_: said.append(text))
    loader = build()
    given = batches(loader)
    list(islice(given, 3))
    place, expected = loader.state_dict(), next(given)
    other = go_on(place, random_state(), workers=1)
    assert next(batches(other))[0] == expected[0]
    assert 'not bit for bit' in said[0] and "'workers': 1" in said[0]


def test_a_pass_that_was_left_early():
    loader = build(sampler='DefaultSampler')
    next(iter(loader))
    list(loader)
    assert loader.state_dict()['passes'] == 2


class Scale:
    """Overwrites an attribute, as RandomResize does."""

    def __init__(self):
        self.scale = None

    def __call__(self, number):
        self.scale = random.random()
        return [number, self.scale]


@pytest.mark.parametrize('listed', [False, True])
def test_checkpoints_of_the_first_version(listed, monkeypatch):
    """It listed RandomResize among the transforms that remember."""
    made = []
    options = dict(sampler='DefaultSampler', transform=Noise)
    loader = build(**options)
    given = batches(loader)
    list(islice(given, 6))
    place, state = loader.state_dict(), random_state()
    place['changing'] = ['RandomResize', *(['Mosaic'] if listed else [])]
    expected = next(given)
    other = go_on(place, state, **options)
    transform = other.dataset.pipeline[0]
    other.dataset.pipeline = [lambda i: made.append(i) or transform(i)]
    # The last pass but one, then this one's two used batches.
    assert next(batches(other, place['passes'])) == expected
    assert len(made) == (7 + 4 if listed else 0) + 2


def test_overwritten_attributes_are_no_memory(monkeypatch):
    monkeypatch.setattr(Scale, 'overwritten', ('scale', ), raising=False)
    loader = build(transform=Scale)
    list(islice(batches(loader), 5))
    assert loader.state_dict()['changing'] == []
    monkeypatch.undo()
    loader = build(transform=Scale)
    list(islice(batches(loader), 5))
    assert loader.state_dict()['changing'] == ['Scale']


def test_options_of_the_loader_are_kept():
    plain = DataLoader(
        Numbers(), batch_size=3, drop_last=True, timeout=5, num_workers=1)
    loader = ResumableLoader(plain)
    assert loader.timeout == 5 and loader.prefetch_factor == 2
    assert len(loader) == 2 and loader.batch_sampler.batch_size == 3
    assert loader.batch_sampler.sampler is plain.sampler
    next(iter(loader))
    # Hooks may use it to make a batch.
    assert loader.collate_fn is plain.collate_fn
    assert ResumableLoader.supports(plain)
    assert not ResumableLoader.supports(DataLoader(Numbers(), batch_size=None))


def test_batch_sampler_starts_in_the_middle():
    sampler = StatefulBatchSampler([[0, 1], [2, 3], [4]])
    sampler.skip = 2, 1
    assert list(sampler) == [[], [4]] and len(sampler) == 3
    sampler.skip = 0, 0
    assert list(sampler) == [[0, 1], [2, 3], [4]]
    sampler.set_epoch(3)  # a list has no epochs
