"""X-Ray on tiny networks, for the tests: on both kinds of heads."""
from typing import Callable

import torch

from mmkd.testing.examples import MethodExample, example
from mmkd.testing.lidar import centerpoint, lidar_batch, pointpillars


def _batch(channels: int, box_size: int) -> Callable[..., dict]:
    """Scans whose boxes hold points, more of them for the teacher."""

    def batch(num: int = 2, seed: int = 0) -> dict:
        data = lidar_batch(
            num, channels=channels, box_size=box_size, seed=seed)
        generator = torch.Generator().manual_seed(seed + 1)
        student, teacher = [], []
        for points, sample in zip(data['inputs']['points'],
                                  data['data_samples']):
            boxes = sample.gt_instances_3d.bboxes_3d
            added = torch.rand((len(boxes), 40, channels), generator=generator)
            added[..., :3] += boxes.gravity_center[:, None] - .5
            student.append(torch.cat([points, added[:, :10].flatten(0, 1)]))
            teacher.append(
                torch.cat([student[-1], added[:, 10:].flatten(0, 1)]))
        data['inputs'] = dict(points=student, points_teacher=teacher)
        return data

    return batch


def _detectors(make: Callable[..., dict], channels: int, box_size: int,
               reason: str) -> MethodExample:
    return example(
        make(4),
        make(4),
        dict(type='XRay'),
        _batch(channels, box_size),
        depends_on_batch=reason,
        not_zero=dict(
            response="it is the head's own loss, on teacher's boxes"),
        zero_without_objects=('cls', 'reg', 'emb'),
        input_map={'inputs.points': 'inputs.points_teacher'})


RECIPE = 'xray/xray_pointpillars_pointpillars_160e_kitti.py'
EXAMPLES = dict(
    xray=lambda: _detectors(
        centerpoint, 5, 9,
        "CenterHead's loss is over the objects of a process, at least one"),
    xray_anchors=lambda: _detectors(
        pointpillars, 4, 7,
        'its means are over the objects that a process sees'))
