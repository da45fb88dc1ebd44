"""FGD and MGD by the command line, on a small detector and segmentor."""
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmkd import cli
from mmkd.core.network import build_network
from mmkd.testing import detector, segmentation_config, segmentor
from mmkd.utils.checkpoint import read_file


def write_coco(root):
    """Three pictures in the format of COCO, one of them without objects."""
    random = np.random.RandomState(0)
    images, annotations = [], []
    for i, boxes in enumerate([[(8, 8, 24, 20), (30, 4, 20, 40)], [],
                               [(0, 0, 64, 48)]]):
        name = f'{i}.png'
        pixels = random.randint(0, 255, (48, 64, 3)).astype(np.uint8)
        assert cv2.imwrite(str(root / name), pixels)
        images.append(dict(id=i, file_name=name, height=48, width=64))
        for box in boxes:
            annotations.append(
                dict(
                    id=len(annotations),
                    image_id=i,
                    category_id=1,
                    bbox=list(box),
                    area=box[2] * box[3],
                    iscrowd=0))
    (root / 'boxes.json').write_text(
        json.dumps(
            dict(
                images=images,
                annotations=annotations,
                categories=[dict(id=1, name='thing')])))


def detection_config(root, width):
    """Three iterations of RetinaNet, an image each."""
    return Config(
        dict(
            default_scope='mmdet',
            model=detector(width, num_classes=1)['model'],
            train_dataloader=dict(
                batch_size=1,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(
                    type='CocoDataset',
                    data_root=str(root),
                    ann_file='boxes.json',
                    data_prefix=dict(img=''),
                    metainfo=dict(classes=('thing', )),
                    serialize_data=False,
                    pipeline=[
                        dict(type='LoadImageFromFile'),
                        dict(type='LoadAnnotations', with_bbox=True),
                        dict(type='Resize', scale=(80, 80), keep_ratio=True),
                        dict(type='PackDetInputs')
                    ])),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=3),
            optim_wrapper=dict(
                type='OptimWrapper',
                optimizer=dict(type='SGD', lr=0.001),
                clip_grad=dict(max_norm=35, norm_type=2)),
            default_hooks=dict(
                checkpoint=dict(
                    type='CheckpointHook', by_epoch=False, interval=3)),
            log_processor=dict(by_epoch=False),
            log_level='WARNING'))


@pytest.fixture(scope='module')
def files(cityscapes, tmp_path_factory):
    """Configs of students and teachers of both libraries, and weights."""
    folder = tmp_path_factory.mktemp('files')
    write_coco(folder)
    for name, width in (('student', 4), ('teacher', 8)):
        detection_config(folder, width).dump(str(folder / f'det_{name}.py'))
        cfg = segmentation_config(
            cityscapes, 'none', model=segmentor(width)['model'], max_iters=3)
        cfg.pop('work_dir')
        cfg.dump(str(folder / f'seg_{name}.py'))
    for task in ('det', 'seg'):
        teacher = build_network(str(folder / f'{task}_teacher.py'), 'teacher')
        torch.save(
            dict(state_dict=teacher.state_dict()),
            str(folder / f'{task}_teacher.pth'))
    return folder


@pytest.mark.parametrize('method, task, amp, own', [
    ('fgd', 'det', False, {'connectors', 'contexts_s', 'contexts_t'}),
    ('fgd', 'det', True, {'connectors', 'contexts_s', 'contexts_t'}),
    ('mgd', 'det', False, {'connectors', 'generators'}),
    ('mgd', 'seg', True, {'connectors', 'generators'}),
])
def test_distill(files, tmp_path, method, task, amp, own):
    cli.call([
        'distill',
        str(files / f'{task}_student.py'), '--teacher',
        str(files / f'{task}_teacher.py'), '--teacher-ckpt',
        str(files / f'{task}_teacher.pth'), '--method', method, '--work-dir',
        str(tmp_path), *(['--amp'] if amp else [])
    ])
    state_dict = read_file(str(tmp_path / 'iter_3.pth'))['state_dict']
    assert all(value.isfinite().all() for value in state_dict.values())
    plain = set(
        build_network(str(files / f'{task}_student.py'), 's').state_dict())
    modules = {
        key.split('.')[2]
        for key in state_dict if key.startswith(f'distill.{method}.')
    }
    # Necks of equal width need no connector.
    assert modules == (own - {'connectors'} if task == 'det' else own)
    assert {key for key in state_dict if 'distill.' not in key} == plain
    name = f'{method}_{task}_teacher_{task}_student'
    cli.call(
        ['export',
         str(tmp_path / f'{name}.py'),
         str(tmp_path / 'iter_3.pth')])
    exported = torch.load(
        tmp_path / 'export/student.pth', weights_only=True)['state_dict']
    assert set(exported) == plain
