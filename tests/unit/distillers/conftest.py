from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmkd.core.distiller import StepBatch
from mmkd.core.taps.tap import TapSpec


def batch_of(labels):
    """A step's batch with label maps (N, Hg, Wg)."""
    return StepBatch(data_samples=[
        SegDataSample(gt_sem_seg=PixelData(data=label[None]))
        for label in labels
    ])


def set_up(distiller, student, teacher, role='logits'):
    """Set a distiller up for tensors, as the model does after a dry run."""

    def specs(tensors, side):
        return {
            role: [
                TapSpec(f'{side}[{i}]', tuple(tensor.shape))
                for i, tensor in enumerate(tensors)
            ]
        }

    distiller.setup(specs(student, 'student'), specs(teacher, 'teacher'))
    return distiller


def run(distiller, student, teacher, labels=None, role='logits'):
    """Set a distiller up and compute its weighted terms."""
    set_up(distiller, student, teacher, role)
    batch = StepBatch() if labels is None else batch_of(labels)
    return distiller({role: student}, {role: teacher}, batch)


@pytest.fixture
def harness():
    """Helpers to run a distiller on tensors alone."""
    return SimpleNamespace(batch_of=batch_of, set_up=set_up, run=run)


@pytest.fixture
def tensors():
    """Make seeded random maps of student and teacher."""

    def make(*shape, teacher_shape=None, seed=0, scale=2.0):
        generator = torch.Generator().manual_seed(seed)
        student = scale * torch.randn(shape, generator=generator)
        teacher = scale * torch.randn(
            teacher_shape or shape, generator=generator)
        return student.requires_grad_(), teacher

    return make


@pytest.fixture
def labels():
    """Two label maps (2, 32, 40) of 6 classes with ignored parts."""
    rows = torch.arange(32).view(-1, 1).div(12, rounding_mode='floor')
    columns = torch.arange(40).view(1, -1).div(14, rounding_mode='floor')
    first = (rows + columns) % 6
    second = (2 * rows + columns) % 6
    maps = torch.stack([first, second])
    maps[0, :16, :12] = 255
    maps[1, 24:] = 255
    return maps
