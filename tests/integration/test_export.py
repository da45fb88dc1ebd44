"""Exported students in the libraries' own programs."""
import numpy as np
import torch

from mmkd import apis
from mmkd.core.network import build_network

POINTPILLARS = 'mmkd::demo/pointpillars_w8_scenes-kitti.py'


def test_inferencer_of_mmdet3d_takes_an_exported_student(tmp_path):
    from mmdet3d.apis import LidarDet3DInferencer
    network = build_network(POINTPILLARS, 'the student')
    torch.save(dict(state_dict=network.state_dict()), tmp_path / 'w.pth')
    weights, config = apis.export_student(POINTPILLARS,
                                          str(tmp_path / 'w.pth'),
                                          str(tmp_path / 'export'))
    text = (tmp_path / 'export/student.py').read_text()
    assert 'mmkd' not in text and "type='KittiMetric'" in text
    inferencer = LidarDet3DInferencer(config, weights, device='cpu')
    points = np.random.RandomState(0).rand(500, 4).astype(np.float32) * 20
    points.tofile(tmp_path / 'points.bin')
    found = inferencer(
        dict(points=str(tmp_path / 'points.bin')),
        no_save_vis=True,
        out_dir='')
    assert set(found['predictions'][0]) >= {'bboxes_3d', 'scores_3d'}
