"""Recipes of X-Ray: a step of their networks; the way to pseudo labels."""
import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mmkd import cli
from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.methods.xray.data import build
from mmkd.methods.xray.data.completion import CompletionOptions
from mmkd.methods.xray.data.infos import load_infos, save_infos
from mmkd.methods.xray.data.pseudo_labels import label_frames
from mmkd.testing.lidar import lidar_batch, on_a_small_region
from mmkd.testing.sequences import CLASSES, make_sequence, write_sequences
from mmkd.utils.config import read_config

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs/xray'
RECIPES = sorted(CONFIGS.glob('xray_*.py'))


@pytest.fixture(autouse=True)
def one_pair_at_a_time():
    """Give the memory of large networks back before the next ones."""
    yield
    gc.collect()


def name_of(path):
    return path.stem


@pytest.mark.parametrize('path', RECIPES, ids=name_of)
def test_one_step(path):
    config = Config.fromfile(path)
    assert config.default_scope == 'mmdet3d'
    cfg = dict(config.model)
    cfg.pop('type')
    student = on_a_small_region(cfg['student'])
    teacher = read_config(cfg['teachers'].teacher.cfg)
    on_a_small_region(teacher.model)
    cfg['teachers'] = dict(
        teacher=dict(cfg['teachers'].teacher, cfg=teacher, ckpt='random'))
    encoder = student.get('pts_voxel_encoder', {})
    channels = encoder.get('in_channels', encoder.get('num_features', 4))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = DistillationModel(**cfg).train()
    data = lidar_batch(
        num_scans=1,
        channels=channels,
        box_size=9 if path.stem.endswith('nuscenes') else 7)
    points, = data['inputs']['points']
    objects = data['data_samples'][0].gt_instances_3d
    if path.stem.endswith('kitti'):
        objects.labels_3d += 2  # cars, as the boxes have their size
    boxes = objects.bboxes_3d
    boxes.tensor[:, :2] = torch.tensor([[4., 2.], [9., -3.]])
    inside = torch.rand((len(boxes), 20, channels))
    inside[..., :3] += boxes.gravity_center[:, None] - .5
    data['inputs'] = dict(
        points=[torch.cat([points, inside[:, :5].flatten(0, 1)])],
        points_teacher=[torch.cat([points, inside.flatten(0, 1)])])
    assert model.data_preprocessor.how('teacher') == 'own'
    losses = model(**model.data_preprocessor(data, True), mode='loss')
    for term in ('cls', 'reg', 'emb', 'response'):
        loss = losses[f'xray.loss_{term}']
        assert loss.isfinite() and loss > 0, term
    model.parse_losses(losses)[0].backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), key
    assert all(p.grad is None
               for p in model.teachers['teacher'].network.parameters())


@pytest.mark.parametrize('path', RECIPES, ids=name_of)
def test_facts(path):
    config = Config.fromfile(path)
    method, teacher_name, student_name, *_ = path.stem.split('_')
    assert teacher_name == student_name  # one architecture
    teacher = read_config(config.model.teachers.teacher.cfg)
    assert teacher.model == config.model.student
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert config[key] == teacher[key], key
    for cfg, keep in ((config, 'both'), (teacher, 'teacher')):
        dataset = cfg.train_dataloader.dataset
        while 'dataset' in dataset:
            dataset = dataset.dataset
        assert dataset.ann_file.endswith('_train_complete.pkl')
        steps = {step.type: i for i, step in enumerate(dataset.pipeline)}
        split = dataset.pipeline[steps['mmkd.SplitCompletePoints']]
        assert split.keep == keep
        load = steps['mmkd.LoadCompleteObjects']
        assert steps['LoadAnnotations3D'] < load < steps['RandomFlip3D']
        time_dim = dataset.pipeline[load].get('time_dim')
        assert time_dim == (4 if 'nuscenes' in path.stem else None)
        if 'ObjectSample' in steps:
            sampler = dataset.pipeline[steps['ObjectSample']].db_sampler
            assert sampler.type == 'mmkd.CompleteDataBaseSampler'
            assert sampler.info_path.endswith('_complete.pkl')
            assert load < steps['ObjectSample'] < (
                steps['mmkd.SplitCompletePoints'])


def test_semi_supervised_recipe():
    config = Config.fromfile(CONFIGS /
                             'xray-semi_centerpoint-pillar02_20e_nuscenes.py')
    labelled, unlabelled = config.train_dataloader.dataset.datasets
    assert config.train_dataloader.sampler.source_ratio == [1, 4]
    assert 'ObjectSample' in [x.type for x in labelled.pipeline]
    assert 'ObjectSample' not in [x.type for x in unlabelled.pipeline]
    assert unlabelled.ann_file != labelled.ann_file
    assert config.model.type == 'CenterPoint'


def test_pseudo_labels(tmp_path, monkeypatch, capsys):
    """Predict, track, complete, predict again: the labels of a student."""
    from mmdet3d.structures import LiDARInstance3DBoxes

    from mmkd import apis
    root = str(tmp_path)
    truth = make_sequence('s', objects=4)
    infos = write_sequences(root, dict(s=truth))
    boxes = {
        info['sample_idx']:
        [x['bbox_3d'] + x['velocity'] for x in info['instances']]
        for info in infos['data_list']
    }
    labels = [x['bbox_label_3d'] for x in truth.infos[0]['instances']]
    classes = sorted(set(CLASSES[x] for x in labels))
    for info in infos['data_list']:  # unlabelled
        info['instances'] = []
    save_infos(infos, f'{root}/unlabelled.pkl')
    given = []

    def predict(cfg, ckpt):
        given.append(cfg)
        scores = torch.tensor([.9, .8, .25, .7])
        return {
            index:
            InstanceData(
                bboxes_3d=LiDARInstance3DBoxes(
                    np.float32(found), box_dim=9, origin=(.5, .5, .5)),
                scores_3d=scores,
                labels_3d=torch.tensor(
                    [classes.index(CLASSES[x]) for x in labels]))
            for index, found in boxes.items()
        }, classes

    monkeypatch.setattr(apis, 'predict', predict)
    config = str(ROOT /
                 'configs/demo/centerpoint-pillar_w8_scenes-nuscenes.py')
    shared = ['--layout', 'infos', '--data-root', root, '--points', 'points']
    cli.call([
        'pseudo-label', config, 'first.pth', *shared, '--infos',
        'unlabelled.pkl', '--out', 'tracked.pkl', '--track'
    ])
    assert '3 tracks' in capsys.readouterr().out
    tracked = load_infos(f'{root}/tracked.pkl')
    for info, source in zip(tracked['data_list'], truth.infos):
        found = {x['instance_id']: x for x in info['instances']}
        assert all(x['num_lidar_pts'] > 0 for x in info['instances'])
        assert len(found) == len(info['instances']) <= 3
        # The third one has too low a score.
        centers = {
            tuple(np.round(x['bbox_3d'][:3], 3))
            for x in info['instances']
        }
        true = [
            tuple(np.round(x['bbox_3d'][:3], 3)) for x in source['instances']
        ]
        assert true[2] not in centers and centers <= set(true)
    assert cli.call([
        'complete', 'infos', '--data-root', root, '--points', 'points',
        '--infos', 'tracked.pkl', '--strategy', 'icp', '--tag', 'pseudo',
        '--workers', '1', '--pictures', '1'
    ]) == 0
    assert len(list(tmp_path.rglob('pictures/*.png'))) == 1
    cli.call([
        'pseudo-label', config, 'teacher.pth', *shared, '--complete',
        '--infos', 'tracked_pseudo.pkl', '--out', 'labelled.pkl',
        '--class-score', 'car=0.95'
    ])
    steps = [x['type'] for x in given[1].test_dataloader.dataset.pipeline]
    assert 'mmkd.SplitCompletePoints' in steps
    assert 'mmkd.SplitCompletePoints' not in [
        x['type'] for x in given[0].test_dataloader.dataset.pipeline
    ]
    assert given[1].test_dataloader.dataset.ann_file == 'tracked_pseudo.pkl'
    names = {
        CLASSES[x['bbox_label_3d']]
        for info in load_infos(f'{root}/labelled.pkl')['data_list']
        for x in info['instances']
    }
    assert names == {'truck'}


def test_kitti_s_pseudo_labels_are_where_they_were(tmp_path):
    """Boxes turned into the camera's frame and back by the data set."""
    from mmdet3d.structures import CameraInstance3DBoxes, LiDARInstance3DBoxes
    root = str(tmp_path)
    infos = write_sequences(root, dict(s=make_sequence('s', frames=1)))
    infos['metainfo'].update(dataset='kitti', categories=dict(Car=2))
    lidar_to_cam = np.eye(4)
    lidar_to_cam[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    lidar_to_cam[:3, 3] = [.1, -.2, .3]
    info = infos['data_list'][0]
    info['images'] = dict(CAM2=dict(lidar2cam=lidar_to_cam.tolist()))
    truth = info['instances']
    true = np.float32([x['bbox_3d'] for x in truth])
    boxes = LiDARInstance3DBoxes(true, origin=(.5, .5, .5))
    found = label_frames(
        infos, {
            0:
            InstanceData(
                bboxes_3d=boxes,
                scores_3d=torch.ones(len(boxes)),
                labels_3d=torch.zeros(len(boxes), dtype=torch.long))
        }, ['Car'], f'{root}/points')
    # Those that the frame shows.
    boxes = boxes[[x['num_lidar_pts'] > 0 for x in truth]]
    rows = [x['bbox_3d'] for x in found['data_list'][0]['instances']]
    back = CameraInstance3DBoxes(np.float32(rows)).convert_to(
        0, np.linalg.inv(np.float32(lidar_to_cam)))
    assert torch.allclose(back.tensor[:, :6], boxes.tensor[:, :6], atol=1e-4)
    turn = back.tensor[:, 6] - boxes.tensor[:, 6]
    assert torch.allclose(turn.cos(), torch.ones(len(turn)), atol=1e-5)
    assert found['data_list'][0]['instances'][0]['bbox_label_3d'] == 2


def test_complete_objects_tool(tmp_path, capsys):
    """A scene that fails is named; the others and a database are made."""
    root = str(tmp_path)
    infos = write_sequences(
        root, {name: make_sequence(name, objects=3)
               for name in 'ab'})
    save_infos(infos, f'{root}/train.pkl')
    (tmp_path / 'points/b_002.bin').unlink()
    given = [
        'complete', 'infos', '--data-root', root, '--points', 'points',
        '--infos', 'train.pkl', '--workers', '1', '--label-hidden'
    ]
    assert cli.call(given) == 1
    assert 'scene b failed' in capsys.readouterr().out
    made = load_infos(f'{root}/train_complete.pkl')
    assert {x['scene_token'] for x in made['data_list']} == {'a'}
    assert cli.call([*given, '--tag', 'theirs', '--preset', 'published']) == 1
    options = (tmp_path / 'complete_objects/theirs/manifest.json').read_text()
    assert '"voxel":0.0' in options and '"max_points":0' in options
    # Whole clouds on demand, of the scene that did not fail.
    with pytest.raises(ConfigError, match='--window is for.*--frames'):
        cli.call([*given, '--window', '2'])
    assert cli.call([*given, '--frames', '--window', '2']) == 1
    clouds = load_infos(f'{root}/train_complete_frames.pkl')['data_list']
    assert len(clouds) == len(made['data_list'])
    for info in clouds:
        path = info['lidar_points']['lidar_path']
        assert 'complete_objects/complete/frames/a' in path
        assert (tmp_path / 'points' / path).is_file()


def test_stages_share_a_format(tmp_path):
    """What completion writes, completion of the same data reads."""
    root = str(tmp_path)
    infos = write_sequences(root, dict(s=make_sequence('s')))
    first, _ = build.complete(infos, root, 'points', progress=False)
    second, report = build.complete(
        first, root, 'points', options=CompletionOptions(), progress=False)
    assert report.counts['new'] == 0
    assert second['data_list'][0] == first['data_list'][0]
