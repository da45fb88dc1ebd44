"""Every method on networks that take a step in milliseconds."""
from typing import Any, Callable, Dict, NamedTuple, Optional

import torch

from mmkd.testing.batches import detection_batch, segmentation_batch
from mmkd.testing.bev import BEV_RANGE, bev_batch, bev_detector
from mmkd.testing.lidar import centerpoint, lidar_batch, pointpillars
from mmkd.testing.networks import detector, segmentor, transformer_segmentor


class MethodExample(NamedTuple):
    """A method, on what it serves.

    Attributes:
        model (dict): Arguments of :class:`~mmkd.core.DistillationModel`.
        batch (Callable): Makes a raw batch; ``num`` samples, ``seed`` of the
            random numbers.
    """
    model: Dict[str, Any]
    batch: Callable[..., dict]


def _segmentation(num: int = 2, seed: int = 0) -> dict:
    return segmentation_batch(num, seed=seed)


def _detection(num: int = 2, seed: int = 0) -> dict:
    return detection_batch(num, seed=seed)


def _bev(num: int = 2, seed: int = 0) -> dict:
    return bev_batch(num, seed=seed)


def _lidar(channels: int = 4, box_size: int = 7):

    def batch(num: int = 2, seed: int = 0) -> dict:
        return lidar_batch(
            num, channels=channels, box_size=box_size, seed=seed)

    return batch


def _complete(channels: int = 4, box_size: int = 7):
    """Scans whose boxes hold points, more of them for the teacher."""

    def batch(num: int = 2, seed: int = 0) -> dict:
        data = _lidar(channels, box_size)(num, seed)
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


def _example(student: dict,
             teacher: dict,
             distiller: dict,
             batch: Callable[..., dict],
             size: tuple = (32, 64),
             assistant: Optional[dict] = None,
             **teacher_options: Any) -> MethodExample:
    teachers = dict(
        teacher=dict(cfg=teacher, ckpt='random', **teacher_options))
    if assistant:
        teachers['assistant'] = dict(cfg=assistant, ckpt='random')
    return MethodExample(
        dict(
            student=student,
            teachers=teachers,
            distillers=dict(kd=distiller),
            dry_run_size=size), batch)


def _segmentors(distiller: dict) -> MethodExample:
    return _example(segmentor(4), segmentor(8), distiller, _segmentation)


def _detectors(distiller: dict) -> MethodExample:
    return _example(
        detector(4, channels=8), detector(8, channels=16), distiller,
        _detection, (64, 64))


def _unidistill(path: str) -> MethodExample:
    sensors = {
        'camera': dict(camera=True),
        'lidar': dict(camera=False, lidar=True),
        'fusion': dict(camera=True, lidar=True)
    }
    teacher, student = path.split('2')
    return _example(
        bev_detector(**sensors[student]), bev_detector(**sensors[teacher]),
        dict(type='UniDistill', path=path, point_cloud_range=BEV_RANGE), _bev)


def _monotakd(stage: int) -> MethodExample:
    teacher = bev_detector(camera=False, lidar=True)
    assistant = bev_detector(
        img_bev_encoder=dict(
            type='mmkd.HeightCollapse', in_channels=8, out_channels=8),
        depth_source='points',
        depth_pooling='mean')
    if stage == 1:
        return _example(assistant, teacher,
                        dict(type='MonoTAKDAssistant', head='center'), _bev)
    student = bev_detector(
        img_bev_encoder=dict(
            type='mmkd.ResidualBranches',
            in_channels=8,
            out_channels=8,
            alignment=dict(hidden_channels=4, dilations=(1, 2))))
    return _example(
        student,
        teacher,
        dict(type='MonoTAKD', head='center'),
        _bev,
        assistant=assistant)


def _xray(make: Callable[..., dict], channels: int,
          box_size: int) -> MethodExample:
    return _example(
        make(4),
        make(4),
        dict(type='XRay'),
        _complete(channels, box_size),
        input_map={'inputs.points': 'inputs.points_teacher'})


def _stages(kind: str, **kwargs: Any) -> dict:
    return dict(
        type=kind,
        place='stages',
        student='backbone[2:4]',
        teacher='backbone[2:4]',
        **kwargs)


#: Makes an example of each method, on each kind of network that it serves.
METHOD_EXAMPLES: Dict[str, Callable[[], MethodExample]] = {
    'bpkd':
    lambda: _segmentors(dict(type='BPKD')),
    'cwd':
    lambda: _segmentors(dict(type='CWD')),
    'cwd_features':
    lambda: _segmentors(_stages('CWD')),
    'logits_kd':
    lambda: _segmentors(dict(type='LogitsKD')),
    'transkd':
    lambda: _example(
        transformer_segmentor(4), transformer_segmentor(8), dict(
            type='TransKD'), _segmentation),
    'fgd':
    lambda: _detectors(dict(type='FGD')),
    'mgd':
    lambda: _detectors(dict(type='MGD')),
    'mgd_segmentation':
    lambda: _segmentors(dict(type='MGD')),
    'acam':
    lambda: _detectors(dict(type='ACAM')),
    'acam_segmentation':
    lambda: _segmentors(dict(type='ACAM')),
    'pointdistiller':
    lambda: _example(
        pointpillars(4), pointpillars(8),
        dict(type='PointDistiller', num_centres=40, num_neighbours=6), _lidar(
        )),
    'xray':
    lambda: _xray(centerpoint, 5, 9),
    'xray_anchors':
    lambda: _xray(pointpillars, 4, 7),
    'unidistill_lidar2camera':
    lambda: _unidistill('lidar2camera'),
    'unidistill_fusion2lidar':
    lambda: _unidistill('fusion2lidar'),
    'monotakd':
    lambda: _monotakd(2),
    'monotakd_assistant':
    lambda: _monotakd(1),
}
