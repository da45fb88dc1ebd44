"""Losses against a teacher's features of other images."""
import copy

import torch

from mmkd.core.mixed import pick_images
from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.engine.shuffled import shuffled_losses
from mmkd.families.foundation import Card, FoundationNetwork
from mmkd.testing import segmentation_batch, segmentor

SIZE = (32, 32)


class Same(FoundationNetwork):
    """It sees in images what the student sees."""

    def __init__(self, student):
        norm = student.data_preprocessor
        mean, std = ((x.flatten() / 255).tolist()
                     for x in (norm.mean, norm.std))
        super().__init__(copy.deepcopy(student.backbone), Card('x', mean, std))

    def features(self, images):
        return [self.model(images)[-1]], None


def test_right_and_other_images():
    torch.manual_seed(0)
    student = build_network(segmentor(4), 'the student')
    model = DistillationModel(
        student,
        dict(
            same=dict(cfg=Same(student), precision='fp32'),
            other=dict(cfg=segmentor(8), ckpt='random')),
        dict(
            kd=dict(
                type='FeatureKD',
                preset='dsi',
                student='backbone[-1]',
                teacher='same:maps[-1]'),
            other=dict(type='CWD', teacher='other:decode_head.conv_seg')),
        dry_run_size=SIZE).eval()
    weight = model.distillers['kd'].projectors[0].weight
    with torch.no_grad():
        weight.copy_(torch.eye(len(weight))[..., None, None])
    data = segmentation_batch(3, size=SIZE)
    found = shuffled_losses(model, data)
    assert list(found) == ['kd']  # the other one has a task
    loss, wrong = found['kd']
    assert abs(loss) < 1e-4 < 1e-3 < wrong
    assert shuffled_losses(model, pick_images(data, [0])) == {}
