import pytest
import torch

from mmkd.methods.cirkd.memory import (ClassQueue, choose_cells, class_means,
                                       class_members)


def numbered(size=5, classes=2):
    queue = ClassQueue(classes, size, 1)
    queue.vectors.zero_()
    return queue


def push(queue, *numbers):
    """Push some numbers for class 0 and none for class 1."""
    width = max(3, len(numbers))
    vectors = torch.zeros(2, width, 1)
    valid = torch.zeros(2, width, dtype=torch.bool)
    vectors[0, :len(numbers), 0] = torch.tensor(numbers)
    valid[0, :len(numbers)] = True
    queue.push(vectors, valid)
    return queue.vectors[0, :, 0].tolist()


def test_the_end_of_a_queue():
    queue = numbered()
    assert push(queue, 1., 2) == [1, 2, 0, 0, 0]
    assert push(queue) == [1, 2, 0, 0, 0]
    assert queue.pointers.tolist() == [2, 0]
    # Three reach the end exactly: the queue begins anew.
    assert push(queue, 3., 4, 5) == [1, 2, 3, 4, 5]
    assert queue.pointers.tolist() == [0, 0]
    assert push(queue, 6., 7, 8) == [6, 7, 8, 4, 5]
    # Beyond the end: the last slots.
    assert push(queue, 9., 10, 11) == [6, 7, 9, 10, 11]
    assert push(queue, 12.) == [12, 7, 9, 10, 11]
    assert not queue.vectors[1].any()


def test_one_at_a_time_goes_around():
    """The rule of the region queue: modulo its size."""
    queue = numbered(3)
    for i in range(1, 5):
        found = push(queue, float(i))
    assert found == [4, 2, 3] and queue.pointers[0] == 1


def test_a_queue_starts_with_random_vectors():
    queue = ClassQueue(2, 3, 8)
    torch.testing.assert_close(queue.vectors.norm(dim=2), torch.ones(2, 3))
    order = torch.tensor([2, 0])
    drawn = queue.draw(order)
    # The same slots of every class.
    assert drawn.equal(
        torch.cat([queue.vectors[0, [2, 0]], queue.vectors[1, [2, 0]]]))
    queue.vectors.zero_()
    assert drawn.any()


def test_members():
    labels = torch.tensor([[[0, 9, 1, 9], [9, 9, 9, 9], [255, 9, 7, 9],
                            [9, 9, 9, 9]]])
    members = class_members(labels, (2, 2), 3, 255)
    # The upper left pixel of each cell; 7 is no class.
    assert members.int().tolist() == [[[1, 0, 0, 0], [0, 1, 0, 0],
                                       [0, 0, 0, 0]]]
    # An index to ignore may be a class.
    assert not class_members(labels, (2, 2), 3, 0)[0, 0].any()


@pytest.mark.parametrize('released, wanted', [(False, [5, 4]), (True, [1, 0])])
def test_choice(released, wanted):
    members = torch.zeros(1, 2, 6, dtype=torch.bool)
    members[0, 0, 3:] = True
    scores = torch.tensor([[[.1, .7, 0., .2, .3, .9]]])
    cells, chosen = choose_cells(members, 2, scores, released)
    # The released code takes cells among the first n of the image.
    assert cells[0, 0].tolist() == wanted
    assert chosen.tolist() == [[[True, True], [False, False]]]
    # Fewer than asked for.
    members[0, 0, 4:] = False
    assert choose_cells(members, 2, scores)[1][0].tolist() == [[True, False],
                                                               [False, False]]
    assert choose_cells(members, 16, scores)[0].shape == (1, 2, 6)


def test_means():
    cells = torch.tensor([[[1., 0], [0, 1], [0, 1]]])
    members = torch.tensor([[[1, 1, 0], [0, 0, 0]]]).bool()
    half = 0.5**0.5
    torch.testing.assert_close(
        class_means(cells, members), torch.tensor([[[half, half], [0, 0]]]))


def test_processes_begin_with_the_same_vectors():
    queues = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        queues.append(ClassQueue(2, 3, 8))
    assert torch.equal(queues[0].vectors, queues[1].vectors)
