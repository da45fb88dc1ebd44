"""Which data sets are checked."""
import pytest

from mmkd.data.checks import check_dataset
from tests.fixtures.datasets import (annotation, cityscapes, coco, edit, kitti,
                                     nuscenes, only, texts)


@pytest.mark.parametrize('layout', [cityscapes, coco, kitti, nuscenes])
def test_sound_data(layout, tmp_path):
    dataset = layout(str(tmp_path / layout.__name__))
    assert texts(dataset) == []
    assert texts(
        dict(
            type='RepeatDataset',
            times=2,
            dataset=dict(type='ConcatDataset', datasets=[dataset]))) == []


def test_own_data_sets_are_left_alone(tmp_path):
    from mmdet.datasets import CocoDataset

    class Own(CocoDataset):

        def load_data_list(self):
            return []

    dataset = coco(str(tmp_path))
    edit(f'{tmp_path}/train.json', annotation(bbox=None))
    dataset.pop('type')
    dataset.update(pipeline=[], lazy_init=True)
    assert check_dataset(Own(**dataset)) == []
    assert check_dataset(dict(type='NoSuchDataset')) == []
    assert check_dataset(None) == []
    assert '`bbox` None' in only(CocoDataset(**dataset))


def test_other_storage_is_left_alone(tmp_path):
    dataset = coco(str(tmp_path))
    assert texts(dict(dataset, data_root='s3://bucket')) == []
    assert texts(dict(dataset, backend_args=dict(backend='petrel'))) == []
