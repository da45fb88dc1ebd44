"""What each method says it looks at."""
import pytest
import torch

from mmkd.core.batch import StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.model import DistillationModel
from mmkd.core.visuals import (Heatmap, distances, feature_distance,
                               logits_distance, principal_colours)
from mmkd.methods.bpkd.losses import edge_masks
from mmkd.methods.fgd.losses import box_masks
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor, transformer_segmentor)
from mmkd.visualization import frozen_copy

SIZES = [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]


def look(network, data, **distillers):
    """The visuals of the distillers between two networks, by name."""
    model = DistillationModel(
        network(4),
        dict(teacher=dict(cfg=network(8), ckpt='random')),
        distillers,
        dry_run_size=(64, 64))
    model = frozen_copy(model)
    tensors, step = model.observe(model.prepare_batch(data, ['teacher']))
    with torch.no_grad():
        found = {
            name: distiller.visuals(*tensors[name], step)
            for name, distiller in model.distillers.items()
        }
    for visuals in found.values():
        assert visuals
        keys = [(visual.group, visual.name) for visual in visuals]
        assert len(set(keys)) == len(keys)
        for visual in visuals:
            assert isinstance(visual, Heatmap)
            assert visual.values.dim() == 3 and len(visual.values) == 2
            assert not visual.values.requires_grad
            assert not visual.values.isinf().any()
    return model, tensors, step, found


def named(visuals, name):
    return [visual for visual in visuals if visual.name == name]


def test_feature_distance_by_hand():
    # sqrt(((3 - 0)^2 + (4 - 0)^2) / 2) at one of two cells.
    feat_t = torch.zeros(1, 2, 1, 2)
    feat_s = feat_t.clone()
    feat_s[0, :, 0, 1] = torch.tensor([3., 4.])
    expected = torch.tensor([[[0., 12.5**0.5]]])
    assert feature_distance(feat_s, feat_t).allclose(expected)
    half = feature_distance(feat_s.half(), feat_t.half())
    assert half.dtype == torch.float32 and half.allclose(expected)
    assert feature_distance(feat_t, torch.zeros(1, 2, 3, 4)).shape == (1, 3, 4)
    first, second = distances([feat_s, feat_t], [feat_t, feat_t], role='stage')
    assert (first.group, second.group) == ('stage 0', 'stage 1')
    assert first.changes and not second.values.any()


def test_logits_distance():
    # 0.5 log(0.5 / 0.25) + 0.5 log(0.5 / 0.75) at both cells.
    logits_t = torch.zeros(1, 2, 1, 2)
    logits_s = torch.tensor([0.25, 0.75]).log().view(1, 2, 1,
                                                     1).expand(1, 2, 1, 2)
    valid = torch.tensor([True, False]).view(1, 1, 1, 2)
    found = logits_distance(logits_s, logits_t, valid=valid)
    assert found[0, 0, 0] == pytest.approx(0.143841, abs=1e-6)
    assert found[0, 0, 1].isnan()


def test_nothing_by_default():

    class Silent(Distiller):

        def losses(self, student, teacher, batch):
            return {}

    assert Silent().visuals({}, {}, StepBatch()) == []


def test_segmentation():
    model, tensors, step, found = look(
        segmentor,
        segmentation_batch(size=(32, 64)),
        bpkd=dict(type='BPKD'),
        kd=dict(type='LogitsKD', valid_only=True),
        cwd=dict(type='CWD'),
        stages=dict(
            type='CWD', place='stages', student='backbone',
            teacher='backbone'),
        acam=dict(type='ACAM'))
    logits = tensors['bpkd'][0]['logits'][0]
    masks, valid = edge_masks(step.labels, 19, logits.shape[2:])
    edges = named(found['bpkd'], 'edge mask')[0]
    assert edges.values.equal(masks.amax(1)) and edges.color
    divergence = named(found['bpkd'], 'divergence over the classes')[0]
    assert divergence.values.isnan().equal(~valid[:, 0])
    assert found['kd'][0].values.isnan().equal(~valid[:, 0])
    # A channel's shares average to 1 over the cells.
    for visual in found['stages'][:2]:
        assert visual.values.mean(dim=(1, 2)).allclose(torch.ones(2))
    assert len({visual.group for visual in found['stages']}) == 4
    acam = model.distillers['acam']
    masks = acam.masks(*tensors['acam'])[0].spatial
    shown = [v for v in found['acam'] if v.name.startswith('mask')]
    assert len(shown) == 19
    assert all(
        v.changes and v.values.equal(masks[:, m]) for m, v in enumerate(shown))


def test_detection():
    _, _, step, found = look(
        detector,
        detection_batch(size=(64, 64)),
        fgd=dict(type='FGD'),
        mgd=dict(type='MGD'),
        acam=dict(type='ACAM', num_masks=3),
        no_cells=dict(type='ACAM', use_spatial=False),
        cwd=dict(type='CWD', place='neck'))
    for side in ('teacher', 'student'):
        attention = named(found['fgd'], f'attention of the {side}')
        for visual, size in zip(attention, SIZES):
            assert visual.values.shape[1:] == size
            # Sums to the number of cells.
            assert visual.values.mean(dim=(1, 2)).allclose(torch.ones(2))
    assert attention[0].scale and attention[0].scale != attention[1].scale
    boxes = [instances.boxes for instances in step.instances]
    objects = named(found['fgd'], 'weight of the objects')[0]
    assert objects.values.equal(box_masks(boxes, [(64, 64)] * 2, (8, 8))[0])
    cells = named(found['mgd'], 'kept cells (one draw)')[0]
    assert set(cells.values.unique().tolist()) == {0., 1.}
    assert len(found['acam']) == 5 * (3 + 1)
    assert {v.name for v in found['no_cells']} == {'distance of the maps'}
    assert len(found['cwd']) == 5 * 3


@pytest.mark.parametrize('kind', ['mit', 'pvt'])
def test_transkd(kind):

    def network(width):
        return transformer_segmentor(width, kind=kind)

    *_, found = look(
        network,
        segmentation_batch(size=(32, 64)),
        transkd=dict(type='TransKD'),
        ea=dict(type='TransKD', variant='ea'))
    for visuals in found.values():
        assert [v.group
                for v in visuals[::2]] == [f'stage {i}' for i in range(4)]
        for maps, embeddings in zip(visuals[::2], visuals[1::2]):
            assert maps.values.shape == embeddings.values.shape


def test_images_without_objects():
    *_, found = look(
        detector,
        detection_batch(size=(64, 64), boxes=0),
        fgd=dict(type='FGD'))
    assert not named(found['fgd'], 'weight of the objects')[0].values.any()


def test_networks_end_at_the_last_tap():
    """Neither a loss nor anything else behind the taps is run."""
    model = DistillationModel(
        detector(4),
        dict(teacher=dict(cfg=detector(8), ckpt='random')),
        dict(mgd=dict(type='MGD')),
        dry_run_size=(64, 64))
    model = frozen_copy(model)

    def never(*args):
        raise AssertionError('the head was run')

    model.student.bbox_head.register_forward_pre_hook(never)
    batch = model.prepare_batch(detection_batch(), ['teacher'])
    tensors, _ = model.observe(batch)
    assert len(tensors['mgd'][0]['features']) == 5


def test_principal_colours():
    """Two regions of similar features, each with a colour of its own."""
    torch.manual_seed(0)
    ends = torch.randn(2, 16)
    left = (torch.arange(8) < 3).expand(1, 8, 8)
    feat = torch.where(
        left.unsqueeze(1), ends[0].view(1, 16, 1, 1),
        ends[1].view(1, 16, 1, 1))
    feat = 50 + 10 * feat + 0.01 * torch.randn(1, 16, 8, 8)
    found, shared, other = [
        principal_colours([feat])[0],
        *principal_colours([feat, feat.flip(3)], feat)
    ]
    assert found.shape == (1, 8, 8, 3) and 0 <= found.min() < found.max() <= 1
    red = found[..., 0]
    assert red[left].std() < .01 and red[~left].std() < .01
    assert (red[left].mean() - red[~left].mean()).abs() > .95
    assert torch.allclose(shared[..., 0], red, atol=1e-3)
    assert torch.allclose(other[..., 0], red.flip(2), atol=1e-2)
    few = principal_colours([feat[:, :1]])[0]
    assert few.shape == (1, 8, 8, 3) and not few[..., 1:].any()
    assert principal_colours([torch.ones(1, 4, 2, 2)])[0].isfinite().all()
