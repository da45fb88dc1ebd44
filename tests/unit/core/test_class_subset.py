"""Teachers that keep some of their classes."""
import pytest
import torch
from mmengine.config import Config

from mmkd.core.class_subset import classes_to_keep, config_classes
from mmkd.core.network import build_network
from mmkd.core.teacher import Teacher
from mmkd.errors import CheckpointError, ConfigError
from mmkd.testing import detector, segmentor
from mmkd.utils.checkpoint import write_weights

ALL = ('a', 'b', 'c', 'd')
KEPT = ['d', 'b']
PLACES = [3, 1]


@pytest.fixture
def weights(tmp_path):
    """Makes a file of random weights for a config."""

    def write(cfg, classes=ALL):
        torch.manual_seed(0)
        network = build_network(cfg, 'x')
        for value in network.parameters():
            torch.nn.init.normal_(value, std=0.1)
        file = str(tmp_path / 'teacher.pth')
        meta = dict(dataset_meta=dict(classes=classes)) if classes else {}
        write_weights(file, network.state_dict(), meta)
        return file

    return write


def run(teacher):
    with torch.no_grad():
        return teacher.network(
            torch.rand(
                2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))


def test_segmentor(weights):
    cfg = Config(segmentor(num_classes=4, auxiliary=True))
    file = weights(cfg)
    whole, part = Teacher(cfg, file), Teacher(cfg, file, classes=KEPT)
    assert whole.classes == list(ALL) and part.classes == KEPT
    assert part.network.decode_head.num_classes == 2
    assert part.network.auxiliary_head.conv_seg.out_channels == 2
    assert part.model_config().decode_head.num_classes == 2
    assert cfg.model.decode_head.num_classes == 4
    torch.testing.assert_close(run(part), run(whole)[:, PLACES])


@pytest.mark.parametrize('kind', ['retinanet', 'gfl', 'fcos'])
def test_dense_detector(weights, kind):
    cfg = Config(detector(num_classes=4, kind=kind))
    file = weights(cfg)
    whole, part = Teacher(cfg, file), Teacher(cfg, file, classes=KEPT)
    scores, *others = run(whole)
    kept, *same = run(part)
    for ours, theirs in zip(kept, scores):
        expected = theirs.unflatten(1, (-1, 4))[:, :, PLACES].flatten(1, 2)
        torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(same, others)


@pytest.mark.parametrize('name, layers', [
    ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', [
        ('roi_head.bbox_head.fc_cls', [2, 0, 80]),
        ('roi_head.bbox_head.fc_reg', [8, 9, 10, 11, 0, 1, 2, 3]),
        ('roi_head.mask_head.conv_logits', [2, 0]),
    ]),
    ('yolox/yolox_tiny_8xb8-300e_coco.py', [
        ('bbox_head.multi_level_conv_cls.1', [2, 0]),
    ]),
    ('mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', [
        ('panoptic_head.cls_embed', [2, 0, 80]),
    ]),
    ('dino/dino-4scale_r50_8xb2-12e_coco.py', [
        ('bbox_head.cls_branches.3', [2, 0]),
        ('dn_query_generator.label_embedding', [2, 0]),
    ]),
])
def test_library_configs(weights, name, layers):
    cfg = f'mmdet::{name}'
    file = weights(cfg, None)  # the data of its config names the classes
    part = Teacher(cfg, file, classes=['car', 'person'])
    given = torch.load(file)['state_dict']
    for layer, rows in layers:
        own = part.network.get_submodule(layer)
        for key, value in own.state_dict().items():
            assert value.equal(given[f'{layer}.{key}'][rows]), key
    changed = [
        key for key, value in part.network.state_dict().items()
        if key in given and value.shape != given[key].shape
    ]
    assert all(
        any(layer.rstrip('.0123456789') in key for layer, _ in layers)
        for key in changed), changed


def test_names_of_a_config():
    cfg = Config(
        dict(
            default_scope='mmdet',
            train_dataloader=dict(
                dataset=dict(
                    type='RepeatDataset',
                    times=2,
                    dataset=dict(
                        type='ConcatDataset',
                        datasets=[dict(type='VOCDataset')])))))
    assert config_classes(cfg)[:2] == ['aeroplane', 'bicycle']
    inner = cfg.train_dataloader.dataset.dataset.datasets[0]
    inner.metainfo = dict(classes=('x', 'y'))
    assert config_classes(cfg) == ['x', 'y']
    assert config_classes(segmentor()) is None


def data_of(*classes, scope='mmdet', **model):
    return Config(
        dict(
            default_scope=scope,
            model=dict(type='A', **model),
            train_dataloader=dict(
                dataset=dict(type='X', metainfo=dict(classes=classes)))))


def test_classes_that_a_student_needs():
    student, teacher = data_of('d', 'b'), data_of(*ALL, num_classes=4)
    assert classes_to_keep(student, teacher) == ['d', 'b']
    turned = data_of('b', 'a', 'c', 'd')
    assert classes_to_keep(turned, teacher) == ['b', 'a', 'c', 'd']
    assert classes_to_keep(data_of(*ALL), teacher) is None
    assert classes_to_keep(data_of('e', 'a'), teacher) is None
    assert classes_to_keep(student, data_of(*ALL)) is None
    # Anchors of LiDAR detectors belong to classes.
    lidar = data_of(*ALL, scope='mmdet3d', num_classes=4)
    assert classes_to_keep(student, lidar) is None
    assert classes_to_keep(student, detector(num_classes=4)) is None


@pytest.mark.parametrize('classes, names, message', [
    (['a', 'e'], ALL, "not trained on 'e'.* it knows a, b, c, d"),
    (['a', 'a'], ALL, 'different names'),
    ('a', ALL, 'different names'),
    (['a'], None, 'neither its weights nor its config name'),
    (['a'], ALL[:3], 'needs a head with `num_classes=3`'),
])
def test_wrong_classes(weights, classes, names, message):
    cfg = segmentor(num_classes=4)
    with pytest.raises(ConfigError, match=message):
        Teacher(cfg, weights(cfg, names), classes=classes)


def test_networks_that_cannot_keep_some(weights):
    cfg = segmentor(num_classes=4)
    file = weights(cfg)
    with pytest.raises(ConfigError, match='built already'):
        Teacher(build_network(cfg, 'x'), file, classes=KEPT)
    wrong = segmentor(num_classes=4, width=8)
    with pytest.raises(CheckpointError, match='does not fit'):
        Teacher(wrong, file, classes=KEPT)
