"""Pictures of frames of KITTI, Cityscapes and COCO; nuScenes' are tested
with its writer."""
import cv2
import numpy as np
import pytest

from driving_scenes.labels import LABEL_IDS, color_table
from driving_scenes.world import Frame
from driving_scenes.writers import CityscapesWriter, CocoWriter
from driving_scenes.writers.kitti import KittiFrame, KittiObject, KittiWriter
from mmkd.errors import ConfigError
from mmkd.visualization.data_frames import (CityscapesFrames, KittiFrames,
                                            class_color, open_frames)


def coloured(path, name):
    """Pixels of a picture in the colour of a class."""
    picture = cv2.imread(path).astype(int)
    color = class_color(name)
    bgr = [int(color[i:i + 2], 16) for i in (5, 3, 1)]
    return (np.abs(picture - bgr).sum(2) < 40).sum()


def test_kitti_boxes_in_both_views(tmp_path):
    p2 = np.array([[100., 0, 100, 0], [0, 100, 30, 0], [0, 0, 1, 0]])
    # Velodyne x front, y left, z up to camera x right, y down, z front.
    turn = np.array([[0., -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]])
    calibration = {f'P{i}': p2 for i in range(4)}
    calibration.update(
        R0_rect=np.eye(3), Tr_velo_to_cam=turn, Tr_imu_to_velo=np.eye(4)[:3])
    car = KittiObject('Car', (90., 30., 110., 45.), 0., 0, 0., (1.5, 1.8, 4.),
                      (0., 1.5, 12.), 1.57, 0)
    points = np.random.default_rng(0).uniform((2, -10, -2, 0), (30, 10, 1, 1),
                                              (500, 4)).astype(np.float32)
    writer = KittiWriter(str(tmp_path / 'kitti'))
    for number, objects in ((0, [car]), (1, [])):
        writer.write(
            KittiFrame('train', number, 0, 0.,
                       np.full((60, 200, 3), 90, np.uint8), points,
                       calibration, np.eye(4), objects))
    frames = open_frames(str(tmp_path / 'kitti'), color_table())
    assert isinstance(frames, KittiFrames) and len(frames) == 2
    assert frames.calibration(0)['P2'] == pytest.approx(p2)
    full = frames.draw(0, str(tmp_path / 'full.png'))
    empty = frames.draw(1, str(tmp_path / 'empty.png'))
    assert coloured(full, 'Car') > coloured(empty, 'Car') + 100


def test_cityscapes_labels_and_boxes(tmp_path):
    label = np.full((40, 80), LABEL_IDS['road'], np.uint8)
    instance = np.zeros((40, 80), np.int32)
    label[10:30, 20:50], instance[10:30, 20:50] = LABEL_IDS['car'], 1
    image = np.full((40, 80, 3), 90, np.uint8)
    frame = Frame('val', 'nowhere', 0, 0, 0., image, label, instance,
                  np.ones((40, 80), np.float32), {})
    root = str(tmp_path / 'data')
    for kind in (CityscapesWriter, CocoWriter):
        writer = kind(root)
        writer.write(frame)
        writer.finish('val', [writer.record(frame)])
    frames = open_frames(root, color_table())
    assert isinstance(frames, CityscapesFrames) and len(frames) == 1
    picture = cv2.imread(frames.draw(0, str(tmp_path / 'a.png'))).astype(int)
    # The colour of roads in Cityscapes, (128, 64, 128).
    assert (np.abs(picture - (128, 64, 128)).sum(2) < 30).sum() > 100
    assert coloured(str(tmp_path / 'a.png'), 'car') > 50


def test_other_folders_are_named(tmp_path):
    with pytest.raises(ConfigError, match='neither nuScenes'):
        open_frames(str(tmp_path), color_table())
    with pytest.raises(ConfigError, match='no pictures'):
        KittiFrames(str(tmp_path))
    with pytest.raises(ConfigError, match="no pictures of 'val'"):
        CityscapesFrames(str(tmp_path), color_table())
