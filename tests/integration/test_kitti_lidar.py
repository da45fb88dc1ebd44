"""Scans of KITTI without images: the converter and the recipes."""
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope

from driving_scenes.writers.kitti import KittiFrame, KittiObject, KittiWriter
from mmkd.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs/kitti_lidar'


@pytest.fixture(scope='module')
def kitti():
    spec = importlib.util.spec_from_file_location(
        'kitti', ROOT / 'tools/datasets/kitti.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def frame(number, split):
    """A car, a van further away, and points in the car and around."""
    rng = np.random.default_rng(number)
    points = rng.uniform([4, -8, -1.7, 0], [45, 8, 1, 1], (3000, 4))
    points[:200, :3] = rng.uniform([13.2, -.7, -1.6], [16.8, .7, -.2],
                                   (200, 3))
    camera = np.array([[360., 0, 156, 0], [0, 360, 48, 0], [0, 0, 1, 0]])
    calibration = {f'P{i}': camera for i in range(4)}
    calibration.update(
        R0_rect=np.eye(3),
        Tr_velo_to_cam=np.array([[0., -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0]]),
        Tr_imu_to_velo=np.eye(4)[:3])
    car = KittiObject('Car', (130., 50., 180., 88.), 0., 0, 0.,
                      (1.5, 1.6, 3.9), (0., 1.7, 15.), -1.57)
    van = KittiObject('Van', (160., 50., 170., 70.), 0., 2, 0., (2., 1.8, 4.5),
                      (1., 1.7, 40.), 1.57)
    region = KittiObject('DontCare', (10., 50., 30., 60.))
    return KittiFrame(split, number, number, 0., np.zeros((96, 312, 3), 'u1'),
                      points.astype('f4'), calibration, np.eye(4),
                      [car, van, region])


def layout(root):
    """Three scans to train and two to validate, with images."""
    writer = KittiWriter(str(root))
    records = dict(train=[], val=[], test=[])
    for number, split in enumerate(('train', ) * 3 + ('val', ) * 2):
        writer.write(frame(number, split))
        records[split].append(writer.record(frame(number, split)))
    writer.finish(records)
    # Another frame than that of the same number in training.
    (root / 'ImageSets/test.txt').write_text('000001\n000007\n')
    (root / 'frames.tsv').write_text('frame\tdrive\tsource\n' +
                                     ''.join(f'{i:06d}\tdrive_{min(i, 2)}\tx\n'
                                             for i in range(5)))
    return root


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return layout(tmp_path_factory.mktemp('source'))


@pytest.fixture(scope='module')
def converted(kitti, source, tmp_path_factory):
    target = tmp_path_factory.mktemp('target')
    kitti.main([str(source), str(target), '--hold-out', 'drive_1'])
    return target


def read(path):
    return pickle.loads(path.read_bytes())


class TestConverter:

    def test_files_are_those_of_the_scenes(self, source, converted):
        """Which are those of mmdet3d's converter."""
        for name in ('kitti_infos_train.pkl', 'kitti_infos_val.pkl'):
            assert read(converted / name) == read(source / name)
        for path in (source / 'training/velodyne_reduced').iterdir():
            copy = converted / 'training/velodyne_reduced' / path.name
            assert copy.read_bytes() == path.read_bytes()

    def test_drives_are_held_out(self, converted):
        found = {
            name: [
                info['sample_idx']
                for info in read(converted /
                                 f'kitti_infos_{name}.pkl')['data_list']
            ]
            for name in ('train', 'fit', 'tune', 'val')
        }
        assert found == dict(train=[0, 1, 2], fit=[0, 2], tune=[1], val=[3, 4])

    def test_without_images(self, kitti, tmp_path, capsys):
        """Of scans that were reduced before, the size is given."""
        root = layout(tmp_path / 'source')
        before = read(root / 'kitti_infos_val.pkl')
        for name in ('image_2', 'velodyne'):
            for path in (root / 'training' / name).iterdir():
                path.unlink()
        arguments = [str(root), str(root), '--image-size', '96', '312']
        with pytest.raises(
                ConfigError, match='_infos_test.pkl already.*--overw'):
            kitti.main(arguments)
        scan = root / 'training/velodyne_reduced/000000.bin'
        # A point behind the camera, which the script would take out.
        content = scan.read_bytes() + np.array([-9, 0, 0, 0], 'f4').tobytes()
        scan.write_bytes(content)
        kitti.main([*arguments, '--overwrite'])
        assert scan.read_bytes() == content
        assert read(root / 'kitti_infos_val.pkl') == before
        printed = capsys.readouterr().out
        assert ('val: 2 scans; Car 2 (2 moderate), Van 2 (0 moderate)'
                in printed)

    def test_test_frames_are_left_out(self, converted):
        assert not (converted / 'kitti_infos_test.pkl').exists()

    def test_faults_of_drives(self, kitti, tmp_path):
        table = tmp_path / 'frames.tsv'
        (tmp_path / 'ImageSets').mkdir()
        train = tmp_path / 'ImageSets/train.txt'
        train.write_text('000000\n000001\n')
        for text, message in (('frame\tdrive\n000000\ta\n',
                               'no drive of frame 000001'),
                              ('frame,drive\n000000,a\n',
                               "no column 'drive'")):
            table.write_text(text)
            with pytest.raises(DataError, match=message):
                kitti.read_lists(tmp_path, ['a'])
        train.write_text('000000\nfirst\n')
        with pytest.raises(DataError, match="train.txt: 'first' is not"):
            kitti.read_lists(tmp_path, [])

    def test_faults(self, kitti, tmp_path):
        root = layout(tmp_path / 'source')
        folder = root / 'training'

        def convert(*options):
            kitti.main([str(root), str(tmp_path / 'target'), *options])

        def spoil(path, text):
            (folder / path).write_text(text)

        with pytest.raises(ConfigError, match='no frame of train.*drive_7'):
            convert('--hold-out', 'drive_7')
        label = (folder / 'label_2/000001.txt').read_text()
        spoil('label_2/000001.txt', label.replace('Van', 'Bus'))
        with pytest.raises(DataError, match="line 2: .*no class 'Bus'"):
            convert()
        spoil('label_2/000001.txt', label + '\n')
        with pytest.raises(DataError, match='line 4: a label has 15 columns'):
            convert()
        spoil('label_2/000001.txt', 'Car 0 0 0\n')
        with pytest.raises(DataError, match='line 1: a label has 15 columns'):
            convert()
        spoil('calib/000000.txt', 'P0: 1 2 3\n')
        with pytest.raises(DataError, match='000000.txt has no matrix P1'):
            convert()
        (folder / 'velodyne/000000.bin').write_bytes(b'\0' * 20)
        with pytest.raises(DataError, match='000000.bin has 20 bytes'):
            convert()
        (root / 'ImageSets/val.txt').write_text('000001\n')
        with pytest.raises(DataError, match='000001 is in both'):
            convert()
        for path in (root / 'ImageSets').iterdir():
            path.unlink()
        with pytest.raises(ConfigError, match='no lists'):
            convert()
        assert not (tmp_path / 'target').exists()


@pytest.fixture(scope='module')
def batch(converted):
    """A scan, as the student's pipeline packs it."""
    from mmdet3d.registry import DATASETS
    cfg = Config.fromfile(CONFIGS / 'pointpillars_w8_kitti.py')
    cfg.train_dataloader.dataset.data_root = str(converted)
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 3
    sample = dataset[0]
    # The van is not a target.
    assert len(sample['data_samples'].gt_instances_3d) == 1
    return pseudo_collate([sample])


@pytest.mark.parametrize(
    'path',
    sorted(CONFIGS.glob('*.py')),
    ids=lambda path: path.stem.split('_pointpillars')[0])
def test_recipe_makes_a_step(path, batch, monkeypatch):
    from mmdet3d.registry import MODELS
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile(path)
    if 'teachers' in cfg.model:
        cfg.model.teachers.teacher.ckpt = 'random'
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        model = MODELS.build(cfg.model).train()
    data = model.data_preprocessor(batch, True)
    losses = model(**data, mode='loss')
    model.parse_losses(losses)[0].backward()
    if 'teachers' in cfg.model:
        distiller, = model.distillers
        assert any(key.startswith(f'{distiller}.') for key in losses)
        model = model.student
    assert all(p.grad is not None and p.grad.isfinite().all()
               for p in model.parameters())
