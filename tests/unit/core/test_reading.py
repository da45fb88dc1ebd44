import torch

from mmkd.core.model import DistillationModel
from mmkd.core.reading import teacher_tensors
from mmkd.testing import segmentation_batch, segmentor


def test_teachers_alone():
    """They give what they give in a step; only those of the method run."""
    torch.manual_seed(0)
    model = DistillationModel(
        segmentor(4),
        dict(
            one=dict(cfg=segmentor(8), ckpt='random', precision='fp32'),
            two=dict(cfg=segmentor(12), ckpt='random')),
        dict(
            a=dict(
                type='MGD', student='backbone[-1]',
                teacher='one:backbone[-1]'),
            b=dict(type='CWD', teacher='two:decode_head.conv_seg')),
        dry_run_size=(64, 64))
    data = segmentation_batch(2, size=(64, 64))
    model.teachers['two'].network.forward = None
    found = teacher_tensors(model, 'a', data)
    assert list(found) == ['features']
    level, = found['features']
    images = model.prepare_batch(data, ['one'])['teacher_batches']['one']
    with torch.no_grad():
        expected = model.teachers['one'].network.extract_feat(
            images['inputs'])[-1]
    assert torch.allclose(level, expected, atol=1e-5)
