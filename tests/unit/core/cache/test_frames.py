import torch

from mmkd.core.cache.frames import (image_frames, other_frames, prepared_image,
                                    without_truth)
from mmkd.core.network import build_network
from mmkd.families import family_of
from mmkd.testing import detection_batch, detector
from mmkd.testing.lidar import lidar_batch


def test_images():
    data = detection_batch(2, (40, 50))
    frames = image_frames(data, (64, 64))
    assert len(set(frames.keys)) == 2 and frames.size == (64, 64)
    assert frames.samples[1]['inputs'] is data['inputs'][1]
    stacked = dict(data, inputs=torch.stack(data['inputs']))
    assert image_frames(stacked, None).keys == frames.keys
    moved = detection_batch(2, (40, 50))
    for sample in moved['data_samples']:
        sample.set_metainfo(dict(img_path='elsewhere', img_id=7))
    assert image_frames(moved, None).keys == frames.keys


def test_an_image_is_prepared_as_its_library_does_it():
    network = build_network(detector(mean=[1., 2., 3.]), 'x')
    data = detection_batch(1, (40, 50))
    sample = image_frames(data, None).samples[0]
    found = prepared_image(sample,
                           family_of(network).image_norm(network),
                           torch.device('cpu'))
    expected = network.data_preprocessor(data, False)
    torch.testing.assert_close(found['inputs'], expected['inputs'])
    own = found['data_samples'][0]
    assert own.batch_input_shape == own.pad_shape == (64, 64)
    assert own.img_shape == (40, 50) and 'gt_instances' not in own
    assert 'gt_instances' in data['data_samples'][0]


def test_scans():
    data = lidar_batch(2)
    frames = other_frames(data)
    assert frames.size is None and len(set(frames.keys)) == 2
    for i, sample in enumerate(frames.samples):
        points, = sample['inputs']['points']
        assert points is data['inputs']['points'][i]
    turned = lidar_batch(2)
    turned['data_samples'][0].set_metainfo(dict(pcd_rotation=torch.eye(3)))
    changed = [a != b for a, b in zip(other_frames(turned).keys, frames.keys)]
    assert changed == [True, False]


def test_without_samples():
    image = torch.zeros(3, 4, 4, dtype=torch.uint8)
    assert image_frames(dict(inputs=[image]), None).samples == [
        dict(inputs=image, data_samples=None)
    ]
    assert without_truth(None) is None
