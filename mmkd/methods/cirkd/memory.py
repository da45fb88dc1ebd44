"""The memory of CIRKD: queues of the teacher's vectors for each class."""
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.methods.cirkd.losses import unit
from mmkd.ops.masks import label_maps


class ClassQueue(nn.Module):
    """A queue of vectors for each class, in buffers.

    It starts with random vectors, which a class that never occurs keeps. All
    processes have the same, whatever their seeds.

    Args:
        num_classes (int): Number of classes.
        size (int): Vectors of each class.
        channels (int): Size of a vector.
    """
    vectors: Tensor
    pointers: Tensor

    def __init__(self, num_classes: int, size: int, channels: int) -> None:
        super().__init__()
        self.register_buffer(
            'vectors',
            unit(
                torch.randn(
                    num_classes,
                    size,
                    channels,
                    generator=torch.Generator().manual_seed(0))))
        self.register_buffer('pointers',
                             torch.zeros(num_classes, dtype=torch.long))

    @torch.no_grad()
    def push(self, vectors: Tensor, valid: Tensor) -> None:
        """Overwrite the oldest vectors.

        Where the end of the queue is reached, the vectors take its last
        slots, and the next ones its first.

        Args:
            vectors (Tensor): New vectors (K, n, C) of each class, n no more
                than the size of the queue.
            valid (Tensor): Which of them exist, bool (K, n), those first that
                do.
        """
        size, count = self.vectors.size(1), valid.sum(1)
        full = self.pointers + count >= size
        begin = torch.where(full, size - count, self.pointers)
        steps = torch.arange(valid.size(1), device=valid.device)
        slots = (begin[:, None] + steps) % size
        rows = torch.arange(len(valid), device=valid.device)[:, None]
        self.vectors[rows, slots] = torch.where(valid[..., None], vectors,
                                                self.vectors[rows, slots])
        self.pointers.copy_((self.pointers + count).masked_fill(full, 0))

    def draw(self, order: Tensor) -> Tensor:
        """Copies (K * n, C) of the vectors in some slots, the same for every
        class.

        Args:
            order (Tensor): Indices (n, ) of the slots.
        """
        return self.vectors[:, order].flatten(0, 1)


@torch.no_grad()
def class_members(labels: Tensor, size: Tuple[int, int], num_classes: int,
                  ignore_index: int) -> Tensor:
    """Which cells of a grid belong to a class.

    Args:
        labels (Tensor): Integer labels (N, Hg, Wg).
        size (tuple[int, int]): Height and width (H, W) of the grid. A cell
            has the label of the pixel at its upper left corner.
        num_classes (int): Number of classes K.
        ignore_index (int): Label of pixels to ignore.

    Returns:
        Tensor: Bool (N, K, H * W).
    """
    maps = F.interpolate(label_maps(labels)[:, None].float(), size)
    maps = maps.masked_fill(maps == ignore_index, -1).flatten(2)
    classes = torch.arange(num_classes, device=labels.device)
    return maps == classes[:, None]


def choose_cells(members: Tensor,
                 count: int,
                 scores: Tensor,
                 released: bool = False) -> Tuple[Tensor, Tensor]:
    """Choose some cells of each class in each image.

    Args:
        members (Tensor): Which cells belong to a class, (N, K, H * W).
        count (int): Number of cells to choose.
        scores (Tensor): Random numbers in [0, 1), (N, 1, H * W); those with
            the largest ones are chosen.
        released (bool): Whether to choose among the first n cells of the
            image in place of the n cells of the class. Defaults to False.

    Returns:
        tuple[Tensor, Tensor]: Indices of cells (N, K, k), and which of them
        are chosen, bool (N, K, k), those first that are; k is ``count`` or
        the number of cells.
    """
    if released:
        number = members.sum(2, keepdim=True)
        members = torch.arange(members.size(2), device=members.device) < number
    values, cells = scores.masked_fill(~members,
                                       -1).topk(min(count, members.size(2)))
    return cells, values >= 0


def class_means(cells: Tensor, members: Tensor) -> Tensor:
    """Mean direction of each class in each image.

    Args:
        cells (Tensor): Vectors of length 1, (N, H * W, C).
        members (Tensor): Which of them belong to a class, (N, K, H * W).

    Returns:
        Tensor: Vectors of length 1, (N, K, C); 0 for absent classes.
    """
    return unit(members.to(cells.dtype) @ cells)
