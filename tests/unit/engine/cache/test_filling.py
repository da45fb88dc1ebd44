"""Filling, verifying, listing and pruning, by the command."""
import pytest
import torch

from mmkd import apis, cli
from mmkd.core.network import build_network
from mmkd.engine.cache.folders import folders_of
from mmkd.errors import ConfigError, UsageError
from mmkd.testing import distillation_config, segmentation_config, segmentor
from mmkd.testing.examples import PLAIN
from mmkd.utils.checkpoint import write_weights


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('teacher') / 'teacher.pth')
    torch.manual_seed(0)
    write_weights(path, build_network(segmentor(8), 'x').state_dict(), {})
    return path


@pytest.fixture
def write(cityscapes, tmp_path, weights):

    def make(cache=None, name='run.py', **options):
        if cache is None:
            cache = dict(dir=str(tmp_path / 'cache'), views=2)
        cfg = distillation_config(
            segmentation_config(
                cityscapes,
                str(tmp_path / 'run'),
                randomness=dict(seed=3),
                **options), dict(cwd=dict(type='CWD', place='stages')),
            dict(
                teacher=dict(
                    cfg=segmentor(8), ckpt=weights, cache=cache, **PLAIN)))
        cfg.dump(str(tmp_path / name))
        return str(tmp_path / name)

    return make


def call(capsys, *words):
    capsys.readouterr()
    code = cli.call(['cache', *words])
    return code, capsys.readouterr().out


def test_from_filling_to_training(write, tmp_path, capsys):
    path, root = write(max_iters=4), str(tmp_path / 'cache')
    _, said = call(capsys, 'fill', path)
    # Two views of an image may both be flipped.
    assert '11 computed, 5 there already' in said and '11 entries' in said
    assert 'filling: 100%' in said
    _, said = call(capsys, 'fill', path, '--quiet')
    assert '0 computed, 16 there already' in said and 'filling:' not in said
    from mmkd.utils.config import read_config
    runner = apis.train(read_config(path))
    cache = runner.model.teachers['teacher'].cache
    assert (cache.hits, cache.misses) == (8, 0)
    folder, = folders_of(root)
    assert folder.entries == 11 and folder.about['stored'] == 'int8'
    _, said = call(capsys, 'info', root)
    assert folder.name in said and 'EncoderDecoder  backbone' in said
    code, said = call(capsys, 'verify', path, '--share', '0.5')
    assert code == 0
    assert '11 entries intact, 0 damaged; 4 computed again, 0 diff' in said
    shard, = tmp_path.glob('cache/*/*.bin')
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    code, said = call(capsys, 'verify', path, '--share', '0')
    assert code == 1 and '10 entries intact, 1 damaged; 0 comp' in said


def test_the_check_looks_at_the_cache(write, tmp_path):
    from mmkd.utils.config import read_config
    report = apis.check(read_config(write()), samples=2)
    assert not report.problems
    name, passed, said = report.rows[-1]
    assert (name, passed) == ('cache', True) and '% of 8 samples' in said
    assert not (tmp_path / 'cache').exists()


def test_the_distillation_command_writes_it(tmp_path, capsys):
    student, teacher = (tmp_path / f'{x}.py' for x in ('student', 'teacher'))
    from mmengine.config import Config
    for path, width in ((student, 4), (teacher, 8)):
        Config(segmentor(width)).dump(str(path))
    words = [
        'distill',
        str(student), '--teacher',
        str(teacher), '--teacher-ckpt', 'random', '--method', 'cwd',
        '--config-only', '--work-dir',
        str(tmp_path / 'run')
    ]
    with pytest.raises(UsageError, match='--views needs --cache'):
        cli.call([*words, '--views', '8'])
    cli.call([*words, '--cache', str(tmp_path / 'c'), '--views', '8'])
    path = tmp_path / 'run/cwd_teacher_student.py'
    cache = Config.fromfile(str(path)).model.teachers.teacher.cache
    assert cache == dict(dir=str(tmp_path / 'c'), views=8)


def test_pruning(write, tmp_path, capsys):
    root = tmp_path / 'cache'
    call(capsys, 'fill', write())
    first, = folders_of(str(root))
    call(capsys, 'fill',
         write(dict(dir=str(root), views=1, dtype='fp16'), 'other.py'))
    second, = [x for x in folders_of(str(root)) if x.name != first.name]
    (root / 'notes').mkdir()
    (root / second.name / 'mine.txt').write_text('mine')
    with pytest.raises(ConfigError, match='has no folder 12; `mmkd cache inf'):
        cli.call(['cache', 'prune', str(root), '--keep', '12'])
    with pytest.raises(UsageError, match='prune needs --keep or --max-gb'):
        cli.call(['cache', 'prune', str(root)])
    assert call(capsys, 'prune', str(root), '--max-gb', '1')[1] == ''
    _, said = call(capsys, 'prune', str(root), '--keep', first.name)
    assert said.startswith(f'removed {second.path}: 8 entries')
    assert [x.entries for x in folders_of(str(root))] in ([11, 0], [0, 11])
    assert (root / second.name / 'mine.txt').exists()
    assert (root / 'notes').exists()
    call(capsys, 'prune', str(root), '--max-gb', '0')
    assert not (root / first.name).exists()


def test_a_full_disk_ends_filling(write, tmp_path, capsys):
    path = write(dict(dir=str(tmp_path / 'c'), max_gb=1e-5))
    _, said = call(capsys, 'fill', path)
    assert 'warning: not all of it could be stored' in said


def test_views_need_a_seed(write):
    with pytest.raises(ConfigError, match='depend on the seed'):
        cli.call([
            'cache', 'fill',
            write(), '--cfg-options', 'randomness.seed=None'
        ])


def test_nothing_to_fill(write, tmp_path):
    path = write(dict(dir=str(tmp_path / 'c')))
    with pytest.raises(ConfigError, match='there is no cache'):
        cli.call(['cache', 'info', str(tmp_path / 'gone')])
    with pytest.raises(ConfigError, match='no teacher of the config has a'):
        cli.call([
            'cache', 'fill', path, '--cfg-options',
            'model.teachers.teacher.cache=None'
        ])
