import pickle
import random
from itertools import islice

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmkd.engine import data_loader
from mmkd.engine.data_loader import ResumableLoader
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
    return loader if kind is DataLoader else kind.of(loader)


def batches(loader, first_pass=0):
    """Batches without end, as mmengine's loops take them. What draws random
    numbers between them is a network."""
    epoch = first_pass
    while True:
        if hasattr(loader.sampler, 'set_epoch'):
            loader.sampler.set_epoch(epoch)
        for batch in loader:
            torch.rand(3)
            yield batch
        epoch += 1


def go_on(place, state, **options):
    loader = build(**options)
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    # As a checkpoint is: plain data.
    loader.take_up(pickle.loads(pickle.dumps(place)), state)
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
    loader = build(**options)
    given = batches(loader)
    expected, places = [], []
    # Passes of four batches; two workers, whose turns that divides or not.
    for _ in range(11):
        expected.append(next(given))
        places.append((loader.place(), random_state()))
    assert expected == plain
    for stop in (5, ) if workers else (3, 4, 5):
        other = go_on(*places[stop - 1], **options)
        rest = list(
            islice(batches(other, places[stop - 1][0]['passes']), 11 - stop))
        assert rest == expected[stop:]
        assert str(other.place()) == str(places[-1][0])


@pytest.mark.parametrize('workers', [0, 1])
def test_end_of_an_epoch(workers):
    """A checkpoint is saved when the last batch has been used up."""
    options = dict(workers=workers, sampler='DefaultSampler')
    loader, epochs = build(**options), []
    for epoch in range(3):
        loader.sampler.set_epoch(epoch)
        epochs.append(list(loader))
        if epoch == 1:
            place, state = loader.place(), random_state()
    assert (place['passes'], place['batches']) == (2, 0)
    other = go_on(place, state, **options)
    assert list(other) == epochs[2]
    assert len(epochs[2]) == len(other) == 4


@pytest.mark.parametrize('workers', [0, 1])
def test_transforms_that_remember(workers, monkeypatch):
    said = []
    monkeypatch.setattr(data_loader, 'print_log',
                        lambda text, *_: said.append(text))
    options = dict(
        workers=workers,
        persistent=bool(workers),
        sampler='DefaultSampler',
        transform=Remembers)
    loader = build(**options)
    given = batches(loader)
    list(islice(given, 6))
    place, state = loader.place(), random_state()
    assert place['changing'] == ['Remembers'] and not said
    expected = next(given)
    other = go_on(place, state, **options)
    assert next(batches(other, place['passes'])) == expected
    assert 'Remembers remember(s) earlier samples' in said[0]


def test_another_loader_takes_the_place_alone(monkeypatch):
    said = []
    monkeypatch.setattr(data_loader, 'print_log',
                        lambda text, *_: said.append(text))
    loader = build()
    given = batches(loader)
    list(islice(given, 3))
    place, expected = loader.place(), next(given)
    other = go_on(place, random_state(), workers=1)
    assert next(batches(other))[0] == expected[0]
    assert 'not bit for bit' in said[0] and "'workers': 1" in said[0]


def test_a_pass_that_was_left_early():
    loader = build(sampler='DefaultSampler')
    next(iter(loader))
    list(loader)
    assert loader.place()['passes'] == 2


def test_what_cannot_be_compared_counts_as_changing():

    class Odd(Noise):

        def __reduce__(self):
            raise ValueError

    watch = data_loader._Watch()
    dataset = Numbers(transform=Odd)
    for _ in range(2):
        watch.look(dataset)
    assert watch.names == ['Odd']
    watch = data_loader._Watch()
    for _ in range(3):
        watch.look(Numbers())
    assert watch.names == []


def test_wrapped_data_sets_are_looked_through():

    class Wrapper:
        pipeline = None

        def __init__(self, *datasets):
            self.datasets = datasets

    inner, mix = Numbers(), Numbers()
    outer = Wrapper(inner, Wrapper(mix))
    assert list(data_loader._transforms(outer)) == [
        inner.pipeline[0], mix.pipeline[0]
    ]
