"""Thinner LiDAR detectors: widths of the published students."""
import copy

import pytest
import torch

from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.methods.pointdistiller.thinning import thin
from mmkd.testing.lidar import centerpoint, lidar_batch, pointpillars, second
from mmkd.utils.config import read_config

KITTI = 'pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class'
NUSCENES = 'pointpillars/pointpillars_hv_fpn_sbn-all_8xb4-2x_nus-3d'
SECOND = 'second/second_hv_secfpn_8xb6-80e_kitti-3d-3class'
POINT_RCNN = 'point_rcnn/point-rcnn_8xb2_kitti-3d-3class'
VOXEL01 = ('centerpoint/centerpoint_voxel01_second_secfpn_'
           '8xb4-cyclic-20e_nus-3d')
DCN = ('centerpoint/centerpoint_pillar02_second_secfpn_head-dcn_'
       '8xb4-cyclic-20e_nus-3d')


def student(config, compression):
    return thin(read_config(f'mmdet3d::{config}.py').model, compression)


@pytest.mark.parametrize('compression, widths', [
    (4, (32, [32, 64, 128], [64, 64, 64], 192)),
    (16, (16, [16, 32, 64], [32, 32, 32], 96)),
])
def test_pointpillars(compression, widths):
    model = student(KITTI, compression)
    pillar, backbone, neck, head = widths
    assert model['voxel_encoder']['feat_channels'] == [pillar]
    assert model['voxel_encoder']['in_channels'] == 4
    assert model['middle_encoder']['in_channels'] == pillar
    assert model['backbone']['in_channels'] == pillar
    assert model['backbone']['out_channels'] == backbone
    assert model['neck']['in_channels'] == backbone
    assert model['neck']['out_channels'] == neck
    assert model['bbox_head']['in_channels'] == head
    assert model['bbox_head']['feat_channels'] == head


@pytest.mark.parametrize('compression, base, blocks, out, maps, neck', [
    (4, 8, ((8, ), (16, ) * 3, (32, ) * 3, (32, ) * 3), 64, [64, 128], 128),
    (16, 4, ((4, ), (8, ) * 3, (16, ) * 3, (16, ) * 3), 32, [32, 64], 64),
])
def test_second(compression, base, blocks, out, maps, neck):
    model = student(SECOND, compression)
    middle = model['middle_encoder']
    assert middle['in_channels'] == 4 and middle['base_channels'] == base
    assert middle['encoder_channels'] == blocks
    assert middle['output_channels'] == out
    assert model['backbone']['in_channels'] == 2 * out
    assert model['backbone']['out_channels'] == maps
    assert model['neck']['out_channels'] == [neck, neck]
    assert model['bbox_head']['in_channels'] == 2 * neck


@pytest.mark.parametrize('compression, pillar, maps, width', [
    (2, 45, [45, 91, 182], 182),
    (4, 32, [32, 64, 128], 128),
])
def test_pointpillars_under_an_fpn(compression, pillar, maps, width):
    model = student(NUSCENES, compression)
    assert model['pts_voxel_encoder']['feat_channels'] == [pillar, pillar]
    assert model['pts_backbone']['out_channels'] == maps
    assert model['pts_neck']['in_channels'] == maps
    assert model['pts_neck']['out_channels'] == width
    assert model['pts_bbox_head']['feat_channels'] == width


@pytest.mark.parametrize('compression, scales, stages, rpn, rcnn', [
    (8, (((5, 5, 11), (11, 11, 22)), ((22, 22, 45), (22, 34, 45)),
         ((45, 70, 91), ) * 2, ((91, 91, 182), (91, 137, 182))),
     ((546, 182, 182), (272, 182, 182), (215, 91, 91), (92, 45, 45)),
     (45, (91, 91)), ([45, 45], ((45, ) * 3, (45, 45, 91), (91, 91, 182)), 182,
                      (91, 91))),
    (16, (((4, 4, 8), (8, 8, 16)), ((16, 16, 32), (16, 24, 32)),
          ((32, 49, 64), ) * 2, ((64, 64, 128), (64, 96, 128))),
     ((384, 128, 128), (192, 128, 128), (152, 64, 64), (65, 32, 32)),
     (32, (64, 64)), ([32, 32], ((32, ) * 3, (32, 32, 64), (64, 64, 128)), 128,
                      (64, 64))),
])
def test_point_rcnn(compression, scales, stages, rpn, rcnn):
    model = student(POINT_RCNN, compression)
    assert model['backbone']['sa_channels'] == scales
    assert model['neck']['fp_channels'] == stages
    points = model['rpn_head']['pred_layer_cfg']
    assert (points['in_channels'], points['cls_linear_channels']) == rpn
    head = model['roi_head']['bbox_head']
    boxes = head['pred_layer_cfg']
    assert (head['mlp_channels'], head['sa_channels'], boxes['in_channels'],
            boxes['reg_conv_channels']) == rcnn
    # It can be built, though not run, without a GPU.
    network = build_network(
        dict(default_scope='mmdet3d', model=model), 'student')
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(
        {
            8: 0.5e6,
            16: 0.3e6
        }[compression], rel=0.15)


def test_centerpoint():
    model = student(VOXEL01, 4)
    head = model['pts_bbox_head']
    assert head['in_channels'] == 256 and head['share_conv_channel'] == 32
    assert head['separate_head']['head_conv'] == 32
    assert model['pts_middle_encoder']['encoder_channels'][-1] == (64, 64)
    # Deformable convolutions in groups of four.
    head = student(DCN, 2)['pts_bbox_head']
    assert head['share_conv_channel'] == 44
    assert head['separate_head']['dcn_config']['in_channels'] == 44


@pytest.mark.parametrize('cfg, data', [
    (pointpillars(16), dict()),
    (centerpoint(16), dict(channels=5, box_size=9)),
    (second(8), dict()),
])
@pytest.mark.parametrize('compression', [1, 2, 3, 16])
def test_it_runs(cfg, data, compression):
    wide = copy.deepcopy(cfg)
    thinner = dict(cfg, model=thin(cfg['model'], compression))
    assert cfg == wide  # which is left as it is
    network = build_network(thinner, 'student').eval()
    with torch.no_grad():
        batch = network.data_preprocessor(lidar_batch(**data), True)
        losses = network(batch['inputs'], batch['data_samples'], mode='loss')
    assert all(
        torch.as_tensor(loss).isfinite().all() for loss in losses.values())
    # The number of weights goes with the compression.
    count = sum(p.numel() for p in network.parameters())
    full = build_network(wide, 'teacher')
    if compression == 1:
        shapes_s, shapes_t = ([p.shape for p in net.parameters()]
                              for net in (network, full))
        assert shapes_s == shapes_t
    ratio = sum(p.numel() for p in full.parameters()) / count
    assert compression**0.4 <= ratio <= 1.7 * compression


def test_within_a_config(tmp_path):
    file = tmp_path / 'student.py'
    file.write_text(f"""_base_ = 'mmdet3d::{KITTI}.py'
from mmkd.methods.pointdistiller import thin

model = thin(_base_.model, 4)
""")
    cfg = read_config(str(file))
    assert cfg.model.backbone.out_channels == [32, 64, 128]
    assert cfg.model.bbox_head.anchor_generator.rotations == [0, 1.57]
    assert 'thin' not in cfg and cfg.train_cfg.max_epochs == 80
    cfg.dump(str(tmp_path / 'plain.py'))
    text = (tmp_path / 'plain.py').read_text()
    assert 'mmkd' not in text
    plain = read_config(str(tmp_path / 'plain.py'))
    assert plain.model == cfg.model


@pytest.mark.parametrize('change, message', [
    (dict(type='VoteNet'), 'VoteNet is not known; it thins VoxelNet'),
    (dict(middle_encoder=dict(type='SparseUNet')), 'middle encoder SparseU'),
    (dict(voxel_encoder=dict(type='SegVFE')), 'SegVFE is not known'),
    (dict(neck=dict(type='BiFPN')), 'the neck BiFPN is not known'),
    (dict(bbox_head=dict(type='SSD3DHead')), 'the head SSD3DHead'),
])
def test_unknown_parts(change, message):
    model = dict(pointpillars()['model'], **change)
    with pytest.raises(ConfigError, match=message):
        thin(model, 4)


def test_refusals():
    with pytest.raises(ConfigError, match='at least 1'):
        thin(pointpillars()['model'], 0.5)
    model = dict(centerpoint()['model'], img_backbone=dict(type='ResNet'))
    with pytest.raises(ConfigError, match='CenterPoint with images'):
        thin(model, 4)
