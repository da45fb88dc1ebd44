import numpy as np
import pytest


def test_metric_of_nuscenes(tmp_path, monkeypatch):
    """The truth itself is found in every group; hidden objects in none."""
    import torch
    from mmdet3d.evaluation.metrics import NuScenesMetric
    from mmdet3d.structures import LiDARInstance3DBoxes

    from mmkd.methods.xray.data.infos import save_infos
    from mmkd.registry import METRICS
    from mmkd.testing.sequences import make_sequence, write_sequences
    infos = write_sequences(str(tmp_path), dict(s=make_sequence('s')))
    for info in infos['data_list']:
        for i, instance in enumerate(info['instances']):
            instance['num_lidar_pts'] = (0, 7, 200)[i % 3]
    save_infos(infos, str(tmp_path / 'infos.pkl'))
    monkeypatch.setattr(NuScenesMetric, 'compute_metrics', lambda *_: {'x': 1})
    metric = METRICS.build(
        dict(
            type='NuScenesByPoints',
            data_root='',
            ann_file=str(tmp_path / 'infos.pkl'),
            edges=(1, 100)))
    classes = ['truck', 'car', 'pedestrian']  # in another order
    metric.dataset_meta = dict(classes=classes, version='v1.0-mini')
    own = {0: 1, 1: 0, 7: 2}
    results = []
    for info in infos['data_list']:
        true = info['instances']
        results.append(
            dict(
                sample_idx=info['sample_idx'],
                pred_instances_3d=dict(
                    bboxes_3d=LiDARInstance3DBoxes(
                        np.float32([x['bbox_3d'] for x in true]),
                        origin=(.5, .5, .5)),
                    scores_3d=torch.ones(len(true)),
                    labels_3d=torch.tensor(
                        [own[x['bbox_label_3d']] for x in true]))))
    found = metric.compute_metrics(results)
    assert found['x'] == 1
    assert found['AP_points_1-99'] == pytest.approx(1, abs=.02)
    assert found['AP_points_100+'] == pytest.approx(1, abs=.02)
    # Of another class, nothing.
    for result in results:
        boxes = result['pred_instances_3d']
        boxes['labels_3d'] = (boxes['labels_3d'] + 1) % 3
    assert metric.compute_metrics(results)['AP_points_100+'] < .2
