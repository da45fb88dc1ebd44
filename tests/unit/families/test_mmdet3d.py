"""What the core does for LiDAR detectors of mmdet3d."""
import pytest
import torch
from mmengine.model import BaseModel

from mmkd import apis
from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.core.taps.dry_run import dry_run
from mmkd.core.taps.tap import Tap
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.families.places import standard_taps
from mmkd.testing import bev_detector
from mmkd.testing.lidar import centerpoint, lidar_batch, pointpillars, second


def build(student, teacher, **distiller):
    return DistillationModel(
        student, dict(teacher=dict(cfg=teacher, ckpt='random')),
        dict(
            pd=dict(
                type='PointDistiller',
                num_centres=20,
                num_neighbours=4,
                **distiller)))


@pytest.mark.parametrize('cfg, place, shape', [
    (pointpillars(), 'voxel_encoder', (4, )),
    (centerpoint(), 'pts_voxel_encoder', (4, )),
    (second(), 'backbone[0:2]', (8, 32, 32)),
])
def test_dry_run(cfg, place, shape):
    network = build_network(cfg, 'x')
    taps = standard_taps(network, 'nodes', 'x')
    assert taps == [place]
    tap = Tap.parse(taps[0])
    found = dry_run(network, [tap], 'x', ('loss', ), (128, 128), training=True)
    first = found.specs[tap][0]
    assert first.shape[1:] == shape and first.shape[0] > 0
    assert first.stride is None  # no image went in
    assert found.writes_input == (place == 'voxel_encoder')
    # The same made-up scan each time, whatever random numbers were drawn.
    torch.rand(3)
    again = family_of(network).example_batch(network, (128, 128))
    torch.rand(3)
    once_more = family_of(network).example_batch(network, (128, 128))
    for key, value in again['inputs']['voxels'].items():
        assert torch.equal(value, once_more['inputs']['voxels'][key])


def test_what_cannot_be_made_up():
    network = build_network(centerpoint(), 'x')
    network.pts_voxel_encoder = None
    network.pts_middle_encoder = None
    with pytest.raises(ConfigError, match='CenterPoint.*dry_run_batch'):
        family_of(network).example_batch(network, (128, 128))


def test_listed_taps():
    listed = apis.list_taps(centerpoint(), depth=1)['student']
    found = {row[0]: row for row in listed}
    assert found['pts_voxel_encoder'][-1] == "standard place 'nodes'"
    assert found['pts_neck'][3].startswith('a list of 1 (a tensor (1, 8,')


def test_modes_of_a_teacher():
    """CenterPoint has no forward for tensors alone."""
    teacher = Teacher(centerpoint(), 'random')
    assert teacher.mode == 'predict'
    assert teacher.trial_modes == ('loss', 'predict')
    assert Teacher(centerpoint(), 'random', mode='loss').mode == 'loss'
    plain = Teacher(pointpillars(), 'random')
    assert plain.mode == 'tensor' and plain.trial_modes == ('tensor', )

    class Plain(BaseModel):

        def forward(self, inputs, data_samples=None, mode='tensor'):
            return inputs

    assert family_of(Plain()).frozen_mode(Plain()) == 'tensor'
    with pytest.raises(ConfigError, match="'tensor', 'predict' or 'loss'"):
        Teacher(pointpillars(), 'random', mode='train')


@pytest.mark.parametrize('legacy', [True, False])
def test_input_that_is_written_into(legacy):
    """mmdet3d's legacy encoder moves the points in its input."""
    model = build(pointpillars(legacy=legacy), pointpillars(8, legacy=legacy))
    model.eval()  # so that the same input gives the same features
    batch = model.data_preprocessor.prepare(lidar_batch(), ['teacher'])
    own = batch['teacher_batches']['teacher']['inputs']
    before = own['voxels']['voxels'].clone()
    tap = model.taps.teacher['pd']['nodes'][0]
    teacher = model.teachers['teacher']
    alone, = teacher.extract(
        model.teachers['teacher'].preprocessor(lidar_batch(), True)['inputs'],
        None, [tap])[tap]
    # The student first, as in a step.
    model.student(batch['inputs'], batch['data_samples'], mode='loss')
    assert torch.equal(own['voxels']['voxels'], before)
    given = batch['inputs']['voxels']['voxels']
    assert torch.equal(given, before) is not legacy
    after, = teacher.extract(own, None, [tap])[tap]
    assert torch.equal(after, alone)
    # Where nobody writes, nothing is copied.
    assert (own is batch['inputs']) is not legacy


def test_other_caps_share_the_voxels():
    """The number of voxels kept is the student's in both networks."""
    small, large = pointpillars(cap=30), pointpillars(8, cap=400)
    model = build(small, large)
    assert model.data_preprocessor.how('teacher') == 'shared'
    batch = model.data_preprocessor.prepare(lidar_batch(), ['teacher'])
    shared = batch['teacher_batches']['teacher']['inputs']['voxels']
    assert torch.equal(shared['coors'], batch['inputs']['voxels']['coors'])
    assert len(shared['coors']) == 60  # of two scans
    # By itself, in eval mode, the teacher would have kept other rows.
    own = model.teachers['teacher'].preprocessor(lidar_batch(), True)
    assert len(own['inputs']['voxels']['coors']) > 60
    model.train()
    assert model(**batch, mode='loss')['pd.loss'] > 0


@pytest.mark.parametrize('other', [
    pointpillars(voxel_size=(0.25, 0.25, 4)),
    pointpillars(max_num_points=5),
])
def test_other_voxels_are_not_shared(other):
    one, two = (
        family_of(network).preprocessing(network)
        for network in (build_network(cfg, 'x')
                        for cfg in (pointpillars(), other)))
    assert one != two


def test_inputs_of_the_teachers_reach_the_distillers():
    model = build(
        pointpillars(max_num_points=8),
        pointpillars(8, max_num_points=3),
        align='coors').train()
    seen = []
    distiller = model.distillers['pd']
    losses = distiller.losses

    def watched(student, teacher, batch):
        seen.append(batch)
        return losses(student, teacher, batch)

    distiller.losses = watched
    batch = model.data_preprocessor(lidar_batch(), True)
    model(**batch, mode='loss')
    step, = seen
    assert step.inputs_of('teacher')['voxels']['num_points'].max() == 3
    assert step.inputs_of(None) is step.inputs is batch['inputs']
    assert step.inputs['voxels']['num_points'].max() > 3


def test_places():
    network = build_network(centerpoint(), 'x')
    family = family_of(network)
    assert family.name == 'mmdet3d'
    found = {
        place: [known.tap for known in family.taps(network, place)]
        for place in family.places
    }
    assert found['stages'] == ['pts_backbone']
    assert found['neck'] == ['pts_neck']
    assert found['bev_high'] == ['pts_neck[0]']
    assert found['head_maps'][0].startswith('pts_bbox_head.task_heads.0.')
    assert found['logits'] == found['patches'] == []


def test_bev_detector():
    """mmkd's own detector derives from one of mmdet3d."""
    assert family_of(build_network(bev_detector(), 'x')).name == 'mmdet3d'
