import pytest
import torch
from mmengine.optim import OptimWrapper

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.monotakd.distiller import MonoTAKD, MonoTAKDAssistant
from mmkd.testing import BEV_RANGE, bev_batch, bev_detector

COLLAPSE = dict(type='mmkd.HeightCollapse', in_channels=8, out_channels=8)
BRANCHES = dict(
    type='mmkd.ResidualBranches',
    in_channels=8,
    out_channels=8,
    alignment=dict(hidden_channels=4, dilations=(1, 2)))


def anchors():
    """An ``Anchor3DHead`` in place of the ``CenterHead``."""
    low, high = BEV_RANGE[:2], BEV_RANGE[3:5]
    return dict(
        bbox_head=dict(
            type='Anchor3DHead',
            num_classes=3,
            in_channels=16,
            feat_channels=16,
            use_direction_classifier=True,
            anchor_generator=dict(
                type='AlignedAnchor3DRangeGenerator',
                ranges=[[*low, z, *high, z] for z in (-.6, -.6, -1.8)],
                sizes=[[.8, .6, 1.7], [1.8, .6, 1.7], [3.9, 1.6, 1.6]],
                rotations=[0, 1.57],
                reshape_out=False),
            diff_rad_by_sin=True,
            bbox_coder=dict(type='DeltaXYZWLHRBBoxCoder'),
            loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
            loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1 / 9),
            loss_dir=dict(type='mmdet.CrossEntropyLoss')),
        train_cfg=dict(
            assigner=[
                dict(
                    type='Max3DIoUAssigner',
                    iou_calculator=dict(type='mmdet3d.BboxOverlapsNearest3D'),
                    pos_iou_thr=.5,
                    neg_iou_thr=.35,
                    min_pos_iou=.35,
                    ignore_iof_thr=-1)
            ] * 3,
            allowed_border=0,
            pos_weight=-1),
        test_cfg=dict(
            use_rotate_nms=True,
            nms_across_levels=False,
            nms_thr=.01,
            score_thr=0.,
            min_bbox_size=0,
            nms_pre=20,
            max_num=10))


def batch_of(head, **kwargs):
    """Anchors know no velocity."""
    batch = bev_batch(**kwargs)
    if head == 'anchor':
        for sample in batch['data_samples']:
            boxes = sample.gt_instances_3d.bboxes_3d
            sample.gt_instances_3d.bboxes_3d = type(boxes)(boxes.tensor[:, :7])
    return batch


def networks(head):
    more = anchors() if head == 'anchor' else {}
    return dict(
        lidar=bev_detector(camera=False, lidar=True, **more),
        assistant=bev_detector(
            img_bev_encoder=COLLAPSE,
            depth_source='points',
            depth_pooling='mean',
            **more),
        student=bev_detector(img_bev_encoder=BRANCHES, **more))


def model(head='center', stage=2, **kwargs):
    torch.manual_seed(0)
    parts = networks(head)
    teachers = dict(teacher=dict(cfg=parts['lidar'], ckpt='random'))
    kind = 'MonoTAKDAssistant'
    if stage == 2:
        kind = 'MonoTAKD'
        teachers['assistant'] = dict(cfg=parts['assistant'], ckpt='random')
    return DistillationModel(
        student=parts['student' if stage == 2 else 'assistant'],
        teachers=teachers,
        distillers=dict(kd=dict(type=kind, head=head, **kwargs)),
        dry_run_size=(32, 64)).train()


@pytest.mark.parametrize('stage', [1, 2])
@pytest.mark.parametrize('head', ['anchor', 'center'])
def test_both_stages_train(head, stage):
    # So that the maps, and not untrained heads, lead the first steps.
    more = dict(weights=dict(intra=100., residual=100.)) if stage == 2 else {}
    network = model(head, stage, **more)
    teachers = {
        name: teacher.network
        for name, teacher in network.teachers.items()
    }
    before = {
        name: {
            k: v.clone()
            for k, v in teacher.state_dict().items()
        }
        for name, teacher in teachers.items()
    }
    names = ['cls', 'box'] + ['dir'] * (head == 'anchor')
    names += ['intra', 'residual'] if stage == 2 else ['feature']
    optimizer = OptimWrapper(torch.optim.AdamW(network.parameters(), lr=3e-3))
    maps = []
    for _ in range(6):
        log = network.train_step(batch_of(head), optimizer)
        terms = {name: log[f'kd.loss_{name}'] for name in names}
        assert all(x.isfinite() and x > 0 for x in terms.values()), terms
        maps.append(sum(terms[name] for name in names[-stage:]).item())
    assert maps[-1] < maps[0]
    # No teacher changes, whatever mode the model is put in.
    network.train()
    for name, teacher in teachers.items():
        assert not any(module.training for module in teacher.modules())
        assert all(p.grad is None for p in teacher.parameters())
        assert all(
            v.equal(before[name][k]) for k, v in teacher.state_dict().items())
    batch = network.prepare_batch(batch_of(head), list(teachers))
    losses, _ = network.parse_losses(network(**batch, mode='loss'))
    losses.backward()
    assert all(p.grad is not None for p in network.parameters())
    # A checkpoint is the student, and nothing else.
    assert set(network.state_dict()) == set(network.student.state_dict())


@pytest.mark.parametrize('term', ['intra', 'residual', 'cls'])
def test_each_term_reaches_the_images_and_the_depth(term):
    network = model()
    batch = network.prepare_batch(bev_batch(), ['teacher', 'assistant'])
    network(**batch, mode='loss')[f'kd.loss_{term}'].backward()
    depth_net = network.student.view_transform.depth_net
    bins = network.student.view_transform.bins.num
    assert depth_net.weight.grad[:bins].abs().sum() > 0
    first = network.student.img_backbone.conv1.weight
    assert first.grad.abs().sum() > 0
    branches = network.student.img_bev_encoder
    reached = {
        name:
        any(p.grad is not None and p.grad.abs().sum() > 0
            for p in part.parameters())
        for name, part in branches.named_children()
    }
    assert reached == dict(
        visual=term != 'residual',
        spatial=term != 'intra',
        alignment=term != 'intra',
        fusion=term == 'cls')


def test_prediction_needs_images_alone():
    network = model().eval()
    found = []
    for points in (None, ()):
        found.append(network.test_step(bev_batch(points=points)))
        # Not even there.
        network.teachers.clear()
    for one, other in zip(*found):
        one, other = one.pred_instances_3d, other.pred_instances_3d
        assert len(one) and one.scores_3d.equal(other.scores_3d)
        assert one.bboxes_3d.tensor.equal(other.bboxes_3d.tensor)


def specs(change=None):
    low = TapSpec('low', (2, 4, 6, 8))
    heads = [
        TapSpec(f'bbox_head.{name}', (2, channels, 6, 8), branch=name)
        for name, channels in (('cls_score', 18), ('bbox_pred', 42),
                               ('dir_cls_pred', 12))
    ]
    student = dict(
        bev_visual=[low],
        bev_spatial=[
            TapSpec('alignment', (2, 4, 6, 8), attributes={'last_relu': True})
        ],
        head_maps=heads)
    teacher = dict(
        bev_low=[low], bev_assistant=[low], bev_lifted=[low], head_maps=heads)
    for side, role, spec in change or ():
        (student, teacher)[side][role] = spec
    return student, teacher


def tensors(seed, *roles):
    generator = torch.Generator().manual_seed(seed)

    def rand(channels):
        return torch.randn((2, channels, 6, 8), generator=generator)

    return dict({role: [rand(4)]
                 for role in roles},
                head_maps=[rand(18), rand(42), rand(12)])


def plain(**kwargs):
    distiller = MonoTAKD(**kwargs)
    distiller.setup(*specs())
    return distiller


def sides():
    return (tensors(0, 'bev_visual', 'bev_spatial'),
            tensors(1, 'bev_low', 'bev_assistant', 'bev_lifted'))


def test_terms_by_hand():
    student, teacher = sides()
    terms = plain(keep_ratio=0.)(student, teacher, StepBatch())
    visual, spatial = student['bev_visual'][0], student['bev_spatial'][0]
    low, assistant = teacher['bev_low'][0], teacher['bev_assistant'][0]
    assert terms['intra'].item() == pytest.approx(
        (visual - assistant).square().mean().item())
    assert terms['residual'].item() == pytest.approx(
        .2 * (spatial - (low - assistant).abs()).square().mean().item())
    # By anchor: the first one of a cell has the first channels.
    cls = student['head_maps'][0]
    by_anchor = plain()._by_anchor(cls)
    assert by_anchor.shape == (2, 6 * 8 * 6, 3)
    assert by_anchor[1, (2 * 8 + 5) * 6 + 4].equal(cls[1, 12:15, 2, 5])


def test_equal_networks():
    student, teacher = sides()
    assistant = teacher['bev_assistant'][0]
    teacher['bev_low'] = [assistant]
    student['bev_visual'] = [assistant]
    student['head_maps'] = teacher['head_maps']
    terms = plain()(student, teacher, StepBatch())
    assert terms['intra'] == terms['cls'] == terms['box'] == 0
    assert terms['residual'].item() == pytest.approx(
        .2 * student['bev_spatial'][0].square().mean().item())
    assert terms['dir'] > 0


def test_samples_without_points_take_no_part():
    student, teacher = sides()
    student['bev_visual'][0].requires_grad_()
    student['bev_spatial'][0].requires_grad_()
    teacher['bev_lifted'][0][1] = 0
    terms = plain()(student, teacher, StepBatch())
    (terms['intra'] + terms['residual']).backward()
    for role in ('bev_visual', 'bev_spatial'):
        grad = student[role][0].grad
        assert grad[0].abs().sum() > 0 == grad[1].abs().sum()
    teacher['bev_lifted'][0][:] = 0
    terms = plain()(student, teacher, StepBatch())
    assert terms['intra'] == terms['residual'] == 0
    assert terms['cls'] > 0


def test_presets():
    """As the released code and that of the first version compute it."""
    student, teacher = sides()
    visual, spatial = student['bev_visual'][0], student['bev_spatial'][0]
    low, assistant = teacher['bev_low'][0], teacher['bev_assistant'][0]

    def between(x):
        x = x - x.min()
        return x / x.max()

    gap = (low - between(assistant)).abs()
    gap[gap < .6 * gap.max()] = 0
    expected = dict(
        arxiv_v1=((visual - assistant).square().mean(),
                  (spatial - (low - assistant).abs()).square().mean()),
        released=((between(visual) - between(assistant)).square().mean(),
                  (spatial - gap).square().mean()))
    classes = {}
    for preset in ('default', *expected):
        terms = plain(preset=preset)(student, teacher, StepBatch())
        classes[preset] = terms['cls'].item()
        if preset in expected:
            found = terms['intra'], terms['residual'] / .2
            for one, other in zip(found, expected[preset]):
                assert one.item() == pytest.approx(other.item(), rel=1e-5)
    # Summed over two samples.
    assert classes['released'] == classes['arxiv_v1'] == pytest.approx(
        2 * classes['default'])
    # Unlike theirs, the visual branch gets a gradient.
    visual.requires_grad_()
    terms = plain(preset='released')(student, teacher, StepBatch())
    terms['intra'].backward()
    assert visual.grad.abs().sum() > 0
    # What is given counts more than the preset.
    own = MonoTAKD(
        preset='released', keep_ratio=0., normalise='none', batch_sum=False)
    assert own.residual['per_batch'] and not own.residual['keep_ratio']
    assert not own.normalise and not own.batch_sum


def test_a_centre_head_has_no_sum_over_the_batch():
    for kind in (MonoTAKD, MonoTAKDAssistant):
        with pytest.raises(ConfigError, match="batch_sum needs head='anchor'"):
            kind(head='center', batch_sum=True)
        assert kind(head='anchor', batch_sum=True).batch_sum
    assert not MonoTAKD(head='center', preset='released').batch_sum


def test_parts_of_the_release():
    """Self-calibration of the visual branch, alignment of the assistant."""
    parts = networks('center')
    student = dict(BRANCHES, calibration=dict(num_blocks=2))
    parts['student']['model']['img_bev_encoder'] = student
    parts['assistant']['model'].update(
        img_bev_encoder=dict(
            COLLAPSE, alignment=dict(hidden_channels=4, dilations=(1, 2))),
        depth_completion='dilate')
    network = DistillationModel(
        student=parts['student'],
        teachers={
            name: dict(cfg=parts[part], ckpt='random')
            for name, part in (('teacher', 'lidar'), ('assistant',
                                                      'assistant'))
        },
        distillers=dict(
            kd=dict(type='MonoTAKD', head='center', preset='released')),
        dry_run_size=(32, 64)).train()
    batch = network.prepare_batch(bev_batch(), ['teacher', 'assistant'])
    losses = network(**batch, mode='loss')
    terms = [value for name, value in losses.items() if 'kd.' in name]
    assert all(value.isfinite() and value > 0 for value in terms)
    # The tap lies behind the blocks, whose gradient comes from the loss.
    losses['kd.loss_intra'].backward()
    blocks = network.student.img_bev_encoder.visual[1]
    assert len(blocks) == 2
    assert all(p.grad is not None and p.grad.isfinite().all()
               for p in blocks.parameters())


def test_empty_cells_may_weigh_less():
    student, teacher = sides()
    assistant = teacher['bev_assistant'][0]
    assistant[:, :, :3] = 0
    residual = (teacher['bev_low'][0] - assistant).abs()
    terms = plain(
        empty_weight=.05, keep_ratio=0.,
        weights=dict(residual=1.))(student, teacher, StepBatch())
    for term, role, target in (('intra', 'bev_visual', assistant),
                               ('residual', 'bev_spatial', residual)):
        error = (student[role][0] - target).square()
        expected = (.05 * error[:, :, :3].sum() +
                    error[:, :, 3:].sum()) / (1.05 * error[:, :, 3:].numel())
        assert terms[term].item() == pytest.approx(expected.item())


def test_weights():
    distiller = MonoTAKD()
    weights = {k: w.value for k, w in distiller.weights.items()}
    assert weights == dict(intra=1., residual=.2, cls=2., box=2., dir=.4)
    weights = MonoTAKD('center', weights=dict(residual=1., box=2.)).weights
    assert {
        k: w.value
        for k, w in weights.items()
    } == dict(
        intra=1., residual=1., cls=1., box=2.)
    assert MonoTAKDAssistant().weights['feature'].value == 32


def test_pictures():
    network = model()
    batch = network.prepare_batch(bev_batch(), ['teacher', 'assistant'])
    found, step = network.observe(batch)
    visuals = network.distillers['kd'].visuals(*found['kd'], step)
    assert [v.name for v in visuals] == [
        'teacher', 'assistant', 'visual branch', 'residual', 'spatial branch'
    ]
    assert all(v.values.shape == (2, 24, 32) for v in visuals)
    assert visuals[0].extent == (-12.8, -9.6, 12.8, 9.6)


def test_wrong_arguments():
    for kwargs, match in ((dict(head='dense'), 'head is one of'),
                          (dict(keep_ratio=2.), 'keep_ratio'),
                          (dict(weights=dict(iou=1.)), "no term 'iou'"),
                          (dict(preset='v2'), 'arxiv_v1, release'),
                          (dict(normalise='l2'),
                           'normalise is one of none, minmax'),
                          (dict(student='neck'), 'several places')):
        with pytest.raises(ConfigError, match=match):
            MonoTAKD(**kwargs)


@pytest.mark.parametrize('change, options, match', [
    ([(1, 'bev_low', [TapSpec('low', (2, 5, 6, 8))])], {}, '5 channels'),
    ([(1, 'bev_low', [TapSpec('low', (2, 4, 3, 4))])], {}, 'resize_teacher'),
    ([(0, 'bev_visual', [TapSpec('x', (2, 4, 3, 4))])
      ], dict(resize_teacher=True), 'make them equal'),
    ((), dict(signed=True), 'last_relu=False'),
    ((), dict(head='center'), "needs head='anchor'"),
])
def test_what_does_not_fit(change, options, match):
    with pytest.raises(ConfigError, match=match):
        MonoTAKD(**options).setup(*specs(change))


def test_order_of_the_heads_does_not_matter():
    found = []
    for order in ((0, 1, 2), (2, 0, 1)):
        distiller = MonoTAKD()
        heads = [specs()[1]['head_maps'][i] for i in order]
        distiller.setup(*specs([(1, 'head_maps', heads)]))
        student, teacher = sides()
        teacher['head_maps'] = [teacher['head_maps'][i] for i in order]
        found.append(distiller(student, teacher, StepBatch()))
    assert all(found[0][term] == found[1][term] for term in found[0])


def test_other_sizes():
    # Other channels of the student, and a coarser map of the teacher.
    distiller = MonoTAKD(resize_teacher=True)
    distiller.setup(*specs([
        (0, 'bev_visual', [TapSpec('visual', (2, 3, 6, 8))]),
        (1, 'bev_low', [TapSpec('low', (2, 4, 3, 4))]),
    ]))
    student, teacher = sides()
    student['bev_visual'] = [torch.randn(2, 3, 6, 8)]
    teacher['bev_low'] = [torch.randn(2, 4, 3, 4)]
    terms = distiller(student, teacher, StepBatch())
    assert all(value.isfinite() and value > 0 for value in terms.values())
    terms['intra'].backward()
    assert all(p.grad is not None for p in distiller.parameters())
