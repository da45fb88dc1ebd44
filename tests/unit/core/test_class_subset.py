"""Teachers that keep some of their classes."""
import pytest
import torch
from mmengine.config import Config

from mmkd.core.class_subset import ClassSubset, classes_to_keep, config_classes
from mmkd.core.network import build_network
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError
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


def numbered(cfg):
    """A network without memory, and weights that are their own indices."""
    with torch.device('meta'):
        network = build_network(cfg, 'x')
    return network, {
        key: torch.arange(value.numel()).view(value.shape)
        for key, value in network.state_dict().items()
    }


BACKGROUND = [2, 0, 80]


@pytest.mark.parametrize('name, layers', [
    ('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', {
        'roi_head.bbox_head.fc_cls': BACKGROUND,
        'roi_head.bbox_head.fc_reg': [8, 9, 10, 11, 0, 1, 2, 3],
        'roi_head.mask_head.conv_logits': [2, 0],
    }),
    ('mmdet::yolox/yolox_tiny_8xb8-300e_coco.py', {
        f'bbox_head.multi_level_conv_cls.{i}': [2, 0]
        for i in range(3)
    }),
    ('mmdet::ssd/ssd300_coco.py', {
        f'bbox_head.cls_convs.{i}.0':
        [81 * anchor + each for anchor in range(n) for each in BACKGROUND]
        for i, n in enumerate((4, 6, 6, 6, 4, 4))
    }),
    ('mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py', {
        'panoptic_head.cls_embed': BACKGROUND
    }),
    ('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', {
        **{
            f'bbox_head.cls_branches.{i}': [2, 0]
            for i in range(7)
        }, 'dn_query_generator.label_embedding': [2, 0]
    }),
])
def test_layers_of_library_configs(name, layers):
    known = config_classes(name)
    subset = ClassSubset(['car', 'person'], known, 'it')
    network, _ = numbered(subset.config(name))
    _, given = numbered(name)
    found = subset.weights(network, given)
    network.to_empty(device='cpu').load_state_dict(found)
    changed = set()
    for key, value in found.items():
        layer = key.rpartition('.')[0]
        if layer in layers:
            changed.add(layer)
            assert value.equal(given[key][layers[layer]]), key
        else:
            assert value.equal(given[key]), key
    assert changed == set(layers)


@pytest.mark.parametrize('name, message', [
    ('mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py', 'convs_pred'),
    ('mmdet::point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py', 'fc_logits'),
    ('mmseg::ocrnet/ocrnet_hr18s_4xb2-80k_cityscapes-512x1024.py',
     'a OCRHead needs all'),
])
def test_layers_that_are_not_known(name, message):
    known = config_classes(name)
    subset = ClassSubset(known[1:3], known, 'it')
    with pytest.raises(ConfigError, match=message):
        network, _ = numbered(subset.config(name))
        subset.weights(network, numbered(name)[1])


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


def data_of(*classes, scope='mmdet', kind='RetinaHead', number=None):
    return Config(
        dict(
            default_scope=scope,
            model=dict(
                type='A', bbox_head=dict(type=kind, num_classes=number or 0)),
            train_dataloader=dict(
                dataset=dict(type='X', metainfo=dict(classes=classes)))))


def test_classes_that_a_student_needs():
    student, teacher = data_of('d', 'b'), data_of(*ALL, number=4)
    assert classes_to_keep(student, teacher) == ['d', 'b']
    for wanted in (ALL, 'bacd', 'ea'):
        assert classes_to_keep(data_of(*wanted), teacher) is None
    for other in (data_of(*ALL), data_of(*ALL, number=4, kind='YOLOV3Head'),
                  data_of(*ALL, scope='mmdet3d', number=4),
                  detector(num_classes=4), 'no such file.py'):
        assert classes_to_keep(student, other) is None


def test_weights_of_classes_in_losses():
    cfg = segmentor(num_classes=4)
    loss = dict(type='CrossEntropyLoss', class_weight=[1., 2., 3., 4., .1])
    cfg['model']['decode_head']['loss_decode'] = [loss]
    narrow = ClassSubset(KEPT, ALL, 'it').config(cfg)
    loss, = narrow.model.decode_head.loss_decode
    assert loss.class_weight == [4., 2., .1]


@pytest.mark.parametrize('classes, names, message', [
    (['a', 'e'], ALL, "has 'e', but it was trained on a, b, c, d; leave"),
    (['a', 'a'], ALL, 'different names'),
    ([], ALL, 'different names'),
    ('a', ALL, 'different names'),
    (list('bacd'), ALL, 'in another order; .* of the teacher: a, b, c, d'),
    (['a'], None, 'neither its weights nor its config name'),
    (['a'], ALL[:3], 'needs a head with `num_classes=3`'),
])
def test_wrong_classes(weights, classes, names, message):
    cfg = segmentor(num_classes=4)
    with pytest.raises(ConfigError, match=message):
        Teacher(cfg, weights(cfg, names), classes=classes)


def test_all_classes(weights):
    cfg = segmentor(num_classes=4)
    assert Teacher(cfg, weights(cfg), classes=ALL).classes == list(ALL)


def test_networks_that_cannot_keep_some(weights):
    cfg = segmentor(num_classes=4)
    file = weights(cfg)
    with pytest.raises(ConfigError, match='built already'):
        Teacher(build_network(cfg, 'x'), file, classes=KEPT)
    with pytest.raises(ConfigError, match='mmdet and mmseg, not of mmdet3d'):
        Teacher(dict(cfg, default_scope='mmdet3d'), file, classes=KEPT)
    wrong = segmentor(num_classes=4, width=8)
    with pytest.raises(ConfigError, match='cannot take those of backbone'):
        Teacher(wrong, file, classes=KEPT)
    few = segmentor(num_classes=2)
    with pytest.raises(ConfigError, match='none of its layers depends'):
        Teacher(cfg, weights(few, ALL), classes=KEPT)
