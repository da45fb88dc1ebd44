"""mmkd installed from a clone and from a wheel, used in another folder."""
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.processes import python

ROOT = Path(__file__).resolve().parents[2]
RECIPE = 'mmkd::demo/bpkd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes'


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    """What a fresh clone has for an installation."""
    folder = tmp_path_factory.mktemp('clone')
    for name in ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'README.md',
                 'LICENSE', 'constraints.txt', 'lock.txt'):
        shutil.copy(ROOT / name, folder)
    for name in ('requirements', 'configs', 'driving_scenes', 'mmkd'):
        shutil.copytree(
            ROOT / name,
            folder / name,
            symlinks=True,
            ignore=shutil.ignore_patterns('__pycache__'))
    return folder


def pip(*args):
    done = subprocess.run([
        sys.executable, '-m', 'pip', '--disable-pip-version-check',
        *map(str, args)
    ],
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope='module')
def wheel(clone, tmp_path_factory):
    """The wheel built from the clone."""
    folder = tmp_path_factory.mktemp('dist')
    pip('wheel', '--no-deps', '--no-build-isolation', '-w', folder, clone)
    return next(folder.glob('mmkd-*.whl'))


@pytest.fixture(scope='module', params=['clone', 'wheel'])
def installed(request, tmp_path_factory):
    """Folder of an installation, by ``pip install``."""
    prefix = tmp_path_factory.mktemp('prefix')
    pip('install', '--no-deps', '--no-build-isolation', '--no-index',
        '--target', prefix, request.getfixturevalue(request.param))
    return prefix


def environment(installed):
    return dict(os.environ, PYTHONPATH=str(installed), OMP_NUM_THREADS='1')


def run(installed, folder, *args):
    """Run Python in another folder, with the installed mmkd alone."""
    return python(*args, cwd=folder, env=environment(installed))


def test_the_wheel_holds_every_recipe_once(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    recipes = {
        f'mmkd/.mim/configs/{path.relative_to(ROOT / "configs").as_posix()}'
        for path in (ROOT / 'configs').rglob('*.py')
    }
    assert len(recipes) > 100
    weights = {
        name
        for name in names if name.startswith('mmkd/.mim/configs/demo/weights/')
    }
    assert any(name.endswith('.safetensors') for name in weights)
    assert {name for name in names if 'configs/' in name} - weights == recipes
    assert 'mmkd/report/templates/report.html' in names
    assert 'mmkd/report/templates/style.css' in names
    assert 'mmkd/.mim/model-index.yml' in names
    assert not [name for name in names if name.startswith(('tests', 'tools'))]


def test_the_command(installed, tmp_path):
    script = installed / 'bin/mmkd'
    for command in ([script], [sys.executable, '-m', 'mmkd']):
        done = subprocess.run([*map(str, command), '--help'],
                              cwd=tmp_path,
                              env=environment(installed),
                              capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith('usage: mmkd COMMAND')


def test_recipes_and_bases_resolve(installed, tmp_path):
    (tmp_path / 'mine.py').write_text(f'_base_ = {RECIPE + ".py"!r}\n'
                                      'train_cfg = dict(max_iters=7)\n')
    code = f'''
import mmkd
from mmengine.config import Config
from mmkd.utils.config import read_config
assert mmkd.__file__.startswith({str(installed)!r}), mmkd.__file__
recipe, mine = read_config({RECIPE!r}), Config.fromfile('mine.py')
assert recipe.filename.startswith({str(installed)!r}), recipe.filename
assert mine.train_cfg.pop('max_iters') == 7
recipe.train_cfg.pop('max_iters')
assert mine.to_dict() == recipe.to_dict()
'''
    done = run(installed, tmp_path, '-c', code)
    assert done.returncode == 0, done.stderr


def test_a_recipe_trains(installed, cityscapes, tmp_path):
    splits = [
        f'{split}_dataloader.dataset.data_root={cityscapes}'
        for split in ('train', 'val', 'test')
    ]
    done = run(installed, tmp_path, '-m', 'mmkd', 'train',
               'mmkd::demo/deeplabv3plus_r18w8-d16_scenes.py', '--quiet',
               '--seed', '1', '--device', 'cpu', '--cfg-options',
               'train_cfg.max_iters=1', 'train_cfg.val_interval=10',
               'train_dataloader.batch_size=2',
               'train_dataloader.num_workers=0',
               'train_dataloader.persistent_workers=False', *splits)
    assert done.returncode == 0, done.stderr
    checkpoint = 'work_dirs/deeplabv3plus_r18w8-d16_scenes/iter_1.pth'
    assert (tmp_path / checkpoint).is_file()
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r'last validation: aAcc \S+, mIoU \S+, mAcc \S+',
                        first)
    assert second == f'last checkpoint: {tmp_path / checkpoint}'


def test_a_recipe_that_is_not_there(installed, tmp_path):
    done = run(installed, tmp_path, '-m', 'mmkd', 'taps',
               'mmkd::demo/retinanet_r18w8_fpn_scene.py')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        'error: mmkd has no config demo/retinanet_r18w8_fpn_scene.py. Did you '
        'mean demo/retinanet_r18w8_fpn_scenes.py or '
        'demo/retinanet_r18w32_fpn_scenes.py?')


def test_the_dockerfile_gets_its_files():
    text = (ROOT / 'Dockerfile').read_text().replace('\\\n', ' ')
    sources = [
        source for line in re.findall(r'^COPY (?!--from)(.*)$', text, re.M)
        for source in line.split()[:-1]
    ]
    rules = (ROOT / '.dockerignore').read_text().split('\n')
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(f'!{source}', rule) for rule in rules)
    # Everything that setup.py and the set-up read is among them.
    assert {
        'configs', 'mmkd', 'driving_scenes', 'requirements', 'tools/setup',
        'README.md', 'lock.txt'
    } <= set(sources)
