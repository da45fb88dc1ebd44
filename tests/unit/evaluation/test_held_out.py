import numpy as np
import pytest
import torch

from mmkd.evaluation import HeldOutMetric
from mmkd.evaluation.held_out import (knn_accuracy, linear_accuracy,
                                      mutual_knn, similarities)


def records(*columns, label=None, **losses):
    return [
        dict(
            losses=losses,
            label=label,
            embeddings=dict(kd=[np.float32(row) for row in rows]))
        for rows in zip(*columns)
    ]


def evaluated(results):
    metric = HeldOutMetric()
    metric.process({}, results)
    return metric.evaluate(len(results))


def test_losses_are_means_over_the_images():
    rows = np.eye(2)
    found = evaluated(
        records(rows[:1], rows[:1], loss=1., cost=4.) +
        records(rows[1:], rows[1:], loss=3., cost=0.))
    assert found == dict(loss=2., cost=2.)


def test_the_nearest_images_in_common():

    def at(*angles):
        angles = torch.tensor(angles)
        return torch.stack([angles.cos(), angles.sin()], 1)

    # The nearest are 1, 0, 1, 2, and then 1, 0, 3, 1.
    first, second = at(0., .1, .3, .6), at(0., .1, .6, .3)
    assert mutual_knn(first, second, k=1) == 0.5
    assert mutual_knn(first, 3 * first, k=1) == 1.
    assert mutual_knn(first, second, k=99) == 1.


def test_cosines():
    torch.manual_seed(0)
    base, part = 10 * torch.ones(1, 4), torch.randn(50, 4)
    other = torch.randn(50, 4)
    same = similarities(part, part, base + part, base + part)
    assert same == dict(
        cos=pytest.approx(1), cos_centred=pytest.approx(1), mutual_knn=1.)
    wrong = similarities(part, other, base + part, base + other)
    # Raw cosines of different images are high.
    assert wrong['cos'] > 0.95 and abs(wrong['cos_centred']) < 0.3
    assert wrong['mutual_knn'] < 0.5
    assert 'cos' not in similarities(part, other[:, :2])


def test_probes():
    torch.manual_seed(0)
    labels = torch.arange(40) % 4
    centres = torch.eye(4)[labels]
    good = centres + 0.1 * torch.randn(40, 4)
    bad = torch.randn(40, 4)
    for probe in (knn_accuracy, linear_accuracy):
        assert probe(good, labels) > 0.95
        assert probe(bad, labels) < 0.6
    # An image does not vote for itself.
    pair = torch.tensor([[1., 0.], [1., .1]])
    assert knn_accuracy(pair, torch.tensor([0, 1])) == 0.


def test_a_vote_counts_by_its_cosine():
    embed = torch.tensor([[1., 0.], [1., .05], [0., 1.], [.02, 1.]])
    labels = torch.tensor([0, 0, 1, 1])
    assert knn_accuracy(embed, labels) == 1.


def test_labelled_images_are_for_the_probes():
    rows = np.eye(4)
    results = records(rows, rows, rows, rows, loss=1.)
    for label in (0, 1):
        results += records(rows[[label] * 3], rows[[0] * 3], label=label)
    found = evaluated(results)
    assert list(found) == [
        'loss', 'cos', 'cos_centred', 'mutual_knn', 'knn', 'linear'
    ]
    assert found['linear'] == 1. and found['loss'] == 1.


def test_rows_are_compared_in_parts(monkeypatch):
    torch.manual_seed(0)
    embed, labels = torch.randn(20, 4), torch.arange(20) % 3
    whole = knn_accuracy(embed, labels, k=5)
    monkeypatch.setattr('mmkd.evaluation.held_out._ROWS', 7)
    assert knn_accuracy(embed, labels, k=5) == whole
    assert mutual_knn(embed, embed) == 1 > mutual_knn(embed, embed**2)
