"""The recipes for the driving scenes: each trains and is evaluated."""
import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, DefaultScope

from benchmarks.entry import Entry
from driving_scenes.generate import generate
from driving_scenes.infos import make_nuscenes_infos
from driving_scenes.kitti import KITTI_SIZES, KittiSize
from driving_scenes.nuscenes import NUSCENES_SIZES, NuScenesSize
from driving_scenes.presets import PRESETS, Preset
from mmkd import apis
from mmkd.core.network import build_network
from mmkd.methods.xray.data import build, infos
from mmkd.testing.runs import untrained
from tests.fixtures.processes import run

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs/demo'
RECIPES = sorted(CONFIGS.glob('*.py'))
METRICS = {
    'val/mIoU', 'val/coco/bbox_mAP',
    'val/Kitti metric/pred_instances_3d/KITTI/Overall_3D_AP40_moderate',
    'val/NuScenes metric/pred_instances_3d_NuScenes/NDS'
}


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """A few small frames in all layouts."""
    root = str(tmp_path_factory.mktemp('recipes') / 'scenes')
    PRESETS['recipes'] = Preset(2, 1, 1, 1, 64, 128, 1)
    KITTI_SIZES['recipes'] = KittiSize(1, 1, 1, 3, 48, 156, 360)
    NUSCENES_SIZES['recipes'] = NuScenesSize(1, 1, 1, 2, 1, 24, 42, 240)
    try:
        generate(
            'recipes',
            root,
            formats=('cityscapes', 'kitti', 'nuscenes'),
            workers=1)
    finally:
        for sizes in (PRESETS, KITTI_SIZES, NUSCENES_SIZES):
            del sizes['recipes']
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('driving_scenes.infos.subprocess.run', run)
        make_nuscenes_infos(f'{root}/nuscenes')
    for layout in ('kitti', 'nuscenes'):
        complete_objects(layout, f'{root}/{layout}')
    return root


def complete_objects(layout, root):
    """What the recipes of X-Ray learn from."""
    name = f'{root}/{layout}_infos_train'
    content = infos.load_infos(f'{name}.pkl')
    infos.add_identities(content, layout, root)
    content, report = build.complete(
        content, root, infos.POINTS_FOLDER[layout], progress=False)
    # Boxes with full poses hold just the points that the tables count.
    assert report.counts['objects'] > 0 == report.counts[
        'boxes with another number of points than num_lidar_pts']
    infos.save_infos(content, f'{name}_complete.pkl')


def entry_of(path, root):
    """The benchmark entry whose data a recipe is trained on."""
    families = ('retinanet', 'gfl', 'faster-rcnn', 'pointpillars',
                'centerpoint', 'bev')
    name = next((x for x in families if x in path.stem), 'deeplabv3plus')
    name = name.replace('-', '_')
    if path.stem.endswith('kitti'):
        name = 'pointpillars'
    return Entry.load(f'{name}_scenes', root)


def short(path, root, work_dir):
    """A recipe on these scenes, for one step of two frames."""
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(entry_of(path, root).data)
    if 'nuscenes' in path.stem:
        # So few scenes are a mini set.
        cfg.val_dataloader.dataset.metainfo.version = 'v1.0-mini'
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].update(
            batch_size=2, num_workers=0, persistent_workers=False)
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    cfg.work_dir = str(work_dir)
    cfg.log_level = 'WARNING'
    model = cfg.model
    untrained(model)
    for distiller in model.get('distillers', {}).values():
        if distiller.type == 'SimilarityKD':
            distiller.queue_size = 1  # below the number of images
    if 'rewriter' in model:
        model.teacher.cfg = Config.fromfile(model.teacher.cfg).model
    network = model.get('student') or model.get('teacher', {}).get(
        'cfg', model)
    if 'score_thr' in network.test_cfg:
        # Else an untrained detector finds nothing, which gives no metric.
        network.test_cfg.score_thr = 0.
    return cfg


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_recipe_trains_and_is_evaluated(path, scenes, tmp_path):
    cfg = short(path, scenes, tmp_path)
    runner = apis.build_runner(apis.prepare_training(cfg))
    before = {
        name: value.clone()
        for name, value in runner.model.state_dict().items()
    }
    runner.train()
    assert runner.iter == 1
    after = runner.model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert any(not value.equal(before[name]) for name, value in after.items())
    # The validation at the end gave the metric of the task, which the
    # benchmark asks for.
    found = set(runner.message_hub.log_scalars)
    assert METRICS & found, found
    entry = entry_of(path, scenes)
    wanted = [entry.metric, *entry.more_metrics.values()]
    # Those of the boundary are asked of the test scenes alone.
    assert {f'val/{x}' for x in wanted if x != 'mBIoU'} <= found


def test_teacher_and_student_differ_in_width_alone():
    for kind in ('retinanet_r18w{}_fpn_scenes', 'gfl_r18w{}_fpn_scenes',
                 'pointpillars_w{}_scenes-kitti',
                 'centerpoint-pillar_w{}_scenes-nuscenes'):
        teacher, student = (
            Config.fromfile(CONFIGS / f'{kind.format(width)}.py')
            for width in (32, 8))
        assert teacher.model.type == student.model.type
        assert teacher.model.test_cfg == student.model.test_cfg
        assert teacher.train_dataloader == student.train_dataloader


def test_camera_detector_predicts_without_lidar_files(scenes, tmp_path):
    root = tmp_path / 'nuscenes'
    shutil.copytree(
        f'{scenes}/nuscenes',
        root,
        ignore=shutil.ignore_patterns('LIDAR_TOP', 'sweeps'))
    cfg = Config.fromfile(CONFIGS / 'bev-camera_scenes-nuscenes.py')
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        dataset = DATASETS.build(
            dict(cfg.test_dataloader.dataset, data_root=str(root)))
    network = build_network(cfg, 'the detector').eval()
    found = network.test_step(pseudo_collate([dataset[0]]))
    assert found[0].pred_instances_3d.bboxes_3d.tensor.size(1) == 9
    assert dataset[0]['inputs'].keys() == {'img'}
    assert dataset[0]['inputs']['img'].shape == (6, 3, 80, 176)


def test_gradients_of_the_losses_are_compared(scenes, tmp_path, capsys):
    """The command of benchmarks/gradient_agreement.py."""
    spec = importlib.util.spec_from_file_location(
        'gradient_agreement', ROOT / 'benchmarks/gradient_agreement.py')
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    out = tmp_path / 'found.json'
    script.main([
        '--method', 'pointdistiller', '--student', 'random', '--teacher',
        'random', '--batches', '2', '--data-root', scenes, '--out',
        str(out)
    ])
    found = json.loads(out.read_text())['losses']
    assert set(found) == {
        'student', 'all of the method', 'pointdistiller.loss'
    }
    own = found['student']
    assert own['norm'] == pytest.approx(1)
    assert own['cosine_with_own_losses'] == pytest.approx(1)
    assert own['beyond_own_losses'] is None
    assert -1 <= found['pointdistiller.loss']['beyond_own_losses'] <= 1
    for row in found.values():
        assert -1 <= row['cosine_with_validation'] <= 1
        assert row['standard_error'] >= 0 and row['norm'] > 0
    assert 'cosine with validation' in capsys.readouterr().out
