"""Pipelines of both networks."""
import pytest

from mmkd.errors import ConfigError
from mmkd.methods.xray.data.pipelines import with_complete_objects

PACK = dict(
    type='Pack3DDetInputs', keys=['points', 'gt_bboxes_3d', 'gt_labels_3d'])

LOAD = [
    dict(
        type='LoadPointsFromFile',
        coord_type='LIDAR',
        load_dim=5,
        use_dim=[0, 1, 2, 3]),
    dict(type='LoadAnnotations3D', with_bbox_3d=True, with_label_3d=True)
]


def test_pipelines_that_cannot_be_completed():
    loader = dict(dataset=dict(ann_file='x.pkl', pipeline=[PACK]))
    with pytest.raises(ConfigError, match='LoadPointsFromFile'):
        with_complete_objects(loader)
    nested = dict(
        dataset=dict(
            type='RepeatDataset',
            dataset=dict(
                datasets=[dict(ann_file='x.pkl', pipeline=[*LOAD, PACK])])))
    made = with_complete_objects(nested)['dataset']['dataset']['datasets'][0]
    assert made['ann_file'] == 'x_complete.pkl'
    assert nested['dataset']['dataset']['datasets'][0]['ann_file'] == 'x.pkl'
