"""The driving scenes: formats, truth, determinism, resuming, refusals."""
import contextlib
import glob
import hashlib
import io
import json
import os
import os.path as osp
import shutil

import cv2
import numpy as np
import pytest

from driving_scenes import generate as generate_module
from driving_scenes.errors import ScenesError
from driving_scenes.generate import class_shares, generate, problems
from driving_scenes.groups import make_frames
from driving_scenes.labels import CLASSES, LABEL_IDS, THINGS
from driving_scenes.presets import CITIES, PRESETS, SPLITS, Preset
from mmkd.methods.xray.data.build import FOLDER
from tests.fixtures.processes import SERVER

SMALL = Preset(2, 1, 1, 1, height=48, width=96)


def digests(root):
    found = {}
    for base, _, files in os.walk(root):
        for name in files:
            path = osp.join(base, name)
            with open(path, 'rb') as file:
                found[osp.relpath(path, root)] = hashlib.sha256(
                    file.read()).hexdigest()
    return found


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    root = str(tmp_path_factory.mktemp('scenes') / 'data')
    PRESETS['test'] = SMALL
    try:
        generate('test', root, workers=1)
        yield root
    finally:
        del PRESETS['test']


def pairs(root, split='*'):
    for path in sorted(
            glob.glob(f'{root}/leftImg8bit/{split}/*/*_leftImg8bit.png')):
        yield path, path.replace('leftImg8bit', 'gtFine',
                                 1).replace('_leftImg8bit.png',
                                            '_gtFine_%s.png')


def test_layout_sizes_and_labels(scenes):
    found = list(pairs(scenes))
    assert len(found) == 4
    valid = set(LABEL_IDS.values())
    for image, truth in found:
        assert cv2.imread(image).shape == (48, 96, 3)
        labels = cv2.imread(truth % 'labelIds', cv2.IMREAD_UNCHANGED)
        train = cv2.imread(truth % 'labelTrainIds', cv2.IMREAD_UNCHANGED)
        instances = cv2.imread(truth % 'instanceIds', cv2.IMREAD_UNCHANGED)
        assert labels.shape == train.shape == instances.shape == (48, 96)
        assert instances.dtype == np.uint16
        assert set(np.unique(labels)) <= valid
        assert set(np.unique(train)) <= {*range(19), 255}
        whole = instances >= 1000
        assert (instances[whole] // 1000 == labels[whole]).all()
        assert (instances[~whole] == labels[~whole]).all()
        assert (train == 0).mean() > 0.05  # there is a road
    assert osp.isfile(osp.join(scenes, 'contact_sheet.png'))


def test_pictures_are_pictures(scenes):
    for image, _ in pairs(scenes):
        grey = cv2.imread(image, cv2.IMREAD_GRAYSCALE).astype(float)
        assert 10 < grey.mean() < 245
        assert grey.std() > 10


def test_splits_share_no_city():
    cities = [city for split in SPLITS for city in CITIES[split]]
    assert len(cities) == len(set(cities))


def test_statistics_add_up(scenes):
    for shares in class_shares(scenes).values():
        assert list(shares) == list(CLASSES)
        assert sum(shares.values()) == pytest.approx(1)


def test_same_bytes_for_workers_and_after_an_interruption(
        scenes, tmp_path, monkeypatch):
    root = str(tmp_path / 'again')
    make = generate_module._make_scene
    done = []

    def stops(job):
        if done:
            raise KeyboardInterrupt
        done.append(job)
        make(job)

    monkeypatch.setattr(generate_module, '_make_scene', stops)
    with pytest.raises(KeyboardInterrupt):
        generate('test', root, workers=1)
    monkeypatch.undo()
    monkeypatch.setattr('multiprocessing.get_context', lambda kind: SERVER)
    stamp = os.stat(glob.glob(f'{root}/leftImg8bit/*/*/*.png')[0]).st_mtime_ns
    generate('test', root, workers=2)
    first = sorted(glob.glob(f'{root}/leftImg8bit/*/*/*.png'))
    assert stamp in [os.stat(path).st_mtime_ns for path in first]
    assert digests(root) == digests(scenes)


def test_seed_changes_the_streets():
    one = make_frames(SMALL, 0, 'test', 0)[0]
    other = make_frames(SMALL, 1, 'test', 0)[0]
    assert (one.label != other.label).mean() > 0.02
    again = make_frames(SMALL, 0, 'test', 0)[0]
    assert np.array_equal(one.image, again.image)
    assert np.array_equal(one.depth, again.depth)


def test_depth_label_and_instance_agree():
    frame = make_frames(SMALL, 0, 'train', 0)[0]
    sky = frame.label == LABEL_IDS['sky']
    assert np.isinf(frame.depth[sky]).all()
    assert np.isfinite(frame.depth[~sky]).all()
    assert (frame.depth[~sky] > 0).all()
    assert (frame.instance[sky] == 0).all()
    # The road comes nearer towards the lower edge of the picture.
    road = np.where(frame.label == LABEL_IDS['road'], frame.depth, np.nan)
    rows = [np.nanmedian(r) for r in road if np.isfinite(r).sum() > 5]
    assert len(rows) > 3 and rows[0] > rows[-1]


@pytest.mark.parametrize('change, message', [
    (dict(preset='huge'), 'no preset'),
    (dict(formats=('coko', )), 'formats are cityscapes, coco'),
    (dict(formats=()), 'got none'),
    (dict(size=(4, 8)), '16 pixels'),
    (dict(seed=1), 'other settings'),
])
def test_refusals_name_the_way_out(scenes, change, message):
    arguments = dict(preset='test', root=scenes, workers=1)
    with pytest.raises(ScenesError, match=message):
        generate(**{**arguments, **change})


@pytest.fixture
def copied(scenes, tmp_path):
    root = str(tmp_path / 'data')
    shutil.copytree(scenes, root)
    return root


def test_nothing_is_wrong_with_a_whole_one(scenes):
    assert problems(scenes) == []


def test_damage_is_named_and_mended(copied, scenes, capsys):
    first, second, third = sorted(
        glob.glob(f'{copied}/gtFine/*/*/*labelIds.png'))[:3]
    os.remove(first)
    with open(second, 'r+b') as file:
        file.truncate(40)
    with open(third, 'r+b') as file:
        file.seek(50)
        file.write(b'?')
    os.remove(f'{copied}/annotations/instances_val.json')
    named = [osp.relpath(path, copied) for path in (first, second, third)]
    found = sorted(problems(copied))
    assert len(found) == 4
    for wrong, text in (('annotations/instances_val.json', 'is missing'),
                        (named[0], 'is missing'), (named[1],
                                                   'has 40 bytes, not'),
                        (named[2], 'has a different content')):
        assert any(x.startswith(wrong) and text in x for x in found), wrong
    # Sizes are looked at whenever a data set is gone on with.
    os.remove(third)
    generate('test', copied, workers=1)
    said = capsys.readouterr().out
    assert all(name in said for name in named)
    assert digests(copied) == digests(scenes)


def test_foreign_files_are_named(copied):
    for name in ('leftImg8bit/train/holiday.png', 'notes.txt'):
        with open(osp.join(copied, name), 'w') as file:
            file.write('mine')
    # What mmdet3d's converters and mmkd complete add belongs
    # there.
    for name in ('kitti_infos_train.pkl',
                 f'nuscenes/{FOLDER}/complete/manifest.json'):
        os.makedirs(osp.dirname(osp.join(copied, name)), exist_ok=True)
        with open(osp.join(copied, name), 'w') as file:
            file.write('')
    assert sorted(problems(copied)) == [
        'leftImg8bit/train/holiday.png does not belong there',
        'notes.txt does not belong there'
    ]
    with pytest.raises(ScenesError, match='does not belong there'):
        generate('test', copied, workers=1)
    # What a killed run leaves goes away by itself.
    os.remove(f'{copied}/leftImg8bit/train/holiday.png')
    os.rename(f'{copied}/notes.txt', f'{copied}/annotations/half.json.part')
    generate('test', copied, workers=1)
    assert problems(copied) == []


def test_verify_needs_scenes(tmp_path):
    with pytest.raises(ScenesError, match='no driving scenes'):
        problems(str(tmp_path))


def test_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(ScenesError, match='not empty'):
        generate('tiny', str(tmp_path))


def test_mmseg_reads_it_and_truth_scores_100(scenes):
    import mmseg.datasets  # noqa: F401
    from mmengine.registry import DefaultScope
    from mmseg.evaluation import IoUMetric
    from mmseg.registry import DATASETS
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(
            dict(
                type='CityscapesDataset',
                data_root=scenes,
                data_prefix=dict(
                    img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
                pipeline=[
                    dict(type='LoadImageFromFile'),
                    dict(type='LoadAnnotations'),
                    dict(type='PackSegInputs')
                ]))
    assert len(dataset) == 2
    metric = IoUMetric()
    metric.dataset_meta = dataset.metainfo
    for item in dataset:
        truth = item['data_samples'].gt_sem_seg.data
        sample = dict(
            gt_sem_seg=dict(data=truth), pred_sem_seg=dict(data=truth.clone()))
        metric.process({}, [sample])
    assert metric.evaluate(len(dataset))['mIoU'] == 100


def test_official_cityscapes_evaluation(scenes, tmp_path):
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling
    module = evalPixelLevelSemanticLabeling
    truths = [truth % 'labelIds' for _, truth in pairs(scenes, 'train')]
    module.args.evalInstLevelScore = True
    module.args.JSONOutput = False
    module.args.quiet = True
    with contextlib.redirect_stdout(io.StringIO()):
        found = module.evaluateImgLists(truths, truths, module.args)
    assert found['averageScoreClasses'] == pytest.approx(1)


def test_coco_truth_scores_one(scenes):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    path = f'{scenes}/annotations/instances_train.json'
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
        annotations = truth.loadAnns(truth.getAnnIds(iscrowd=False))
        assert annotations
        detections = truth.loadRes([
            dict(
                image_id=a['image_id'],
                category_id=a['category_id'],
                bbox=a['bbox'],
                segmentation=a['segmentation'],
                score=1.0) for a in annotations
        ])
        for kind in ('bbox', 'segm'):
            evaluation = COCOeval(truth, detections, kind)
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
            assert evaluation.stats[0] == pytest.approx(1)


def test_mmdet_reads_the_coco_index(scenes):
    from mmdet.datasets import CocoDataset
    dataset = CocoDataset(
        data_root=scenes,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='leftImg8bit/'),
        metainfo=dict(classes=THINGS),
        pipeline=[])
    assert len(dataset) == 2
    info = dataset.get_data_info(0)
    assert osp.isfile(info['img_path'])
    assert all(i['bbox'][2] > i['bbox'][0] for i in info['instances'])


def test_tool_makes_and_finishes(tmp_path, scenes):
    import subprocess
    import sys
    root = osp.join(osp.dirname(__file__), *[os.pardir] * 3)
    # The scenes of the fixture are whole, so the tool only has to finish.
    manifest = json.load(open(f'{scenes}/scenes.json'))
    assert manifest['preset'] == 'test' and manifest['seed'] == 0
    done = subprocess.run([
        sys.executable, '-m', 'mmkd', 'scenes', '--preset', 'tiny', '--out',
        scenes
    ],
                          cwd=root,
                          capture_output=True,
                          text=True)
    assert done.returncode == 2
    assert 'other settings' in done.stderr
    assert 'Traceback' not in done.stderr
