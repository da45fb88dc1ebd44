"""Pictures of a run, as a user gets them."""
import os
import os.path as osp

import pytest
import torch
from mmengine.config import Config

from mmkd import cli
from mmkd.core.network import build_network
from mmkd.testing import distillation_config, segmentation_config, segmentor
from tests.fixtures.processes import python, start

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))


@pytest.fixture(scope='module')
def files(cityscapes, tmp_path_factory):
    """Config of a distillation, and the weights of its teacher."""
    folder = tmp_path_factory.mktemp('files')
    plain = segmentation_config(cityscapes, 'none', max_iters=2)
    plain.pop('work_dir')
    teacher = build_network(segmentor(8), 'teacher')
    torch.save(
        dict(state_dict=teacher.state_dict()), str(folder / 'teacher.pth'))
    Config(segmentor(8)).dump(str(folder / 'teacher.py'))
    cfg = distillation_config(
        plain,
        dict(acam=dict(type='ACAM', num_masks=2), bpkd=dict(type='BPKD')),
        dict(
            teacher=dict(
                cfg=str(folder / 'teacher.py'),
                ckpt=str(folder / 'teacher.pth'))))
    cfg.default_hooks.checkpoint.interval = 1
    cfg.custom_hooks = [
        dict(
            type='mmkd.DistillationVisualizationHook',
            interval=1,
            images=1,
            predictions=False)
    ]
    cfg.dump(str(folder / 'distil.py'))
    return folder


@pytest.fixture(scope='module')
def trained(files):
    """Work folder of a run in two processes, with pictures."""
    work = files / 'work'
    processes = []
    for rank in range(2):
        (files / f'{rank}').mkdir()
        processes.append(
            start(
                '-m',
                'mmkd',
                'train',
                files / 'distil.py',
                '--launcher',
                'pytorch',
                '--work-dir',
                work,
                output=files / f'{rank}',
                env=dict(
                    os.environ,
                    RANK=str(rank),
                    LOCAL_RANK=str(rank),
                    WORLD_SIZE='2',
                    MASTER_ADDR='127.0.0.1',
                    MASTER_PORT=str(28000 + os.getpid() % 900))))
    for process in processes:
        process.join(900)
    for rank, process in enumerate(processes):
        assert process.exitcode == 0, (files / f'{rank}' /
                                       'stderr').read_text()[-3000:]
    return work


def pictures(folder):
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob('*.png'))


EXPECTED = [
    f'{method}/tinytown_000000_000019_leftImg8bit/{name}.png'
    for method, strip in (('acam', 'strip_level_0'), ('bpkd', 'strip'))
    for name in ('iter_000000', 'iter_000001', 'iter_000002', strip)
]


def test_main_process_draws(trained):
    assert pictures(trained / 'pictures') == EXPECTED
    assert (trained / 'iter_2.pth').is_file()


def test_tool(files, trained, tmp_path):
    """Two checkpoints make a strip; the tool shows what the hook showed."""
    done = python(f'{ROOT}/tools/browse_distillation.py', files / 'distil.py',
                  trained / 'iter_1.pth', trained / 'iter_2.pth', '--images',
                  '0', '--no-predictions', '--out', tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = [path for path in EXPECTED if '000000.png' not in path]
    assert pictures(tmp_path) == expected
    printed = done.stdout.splitlines()
    assert all(str(tmp_path / path) in printed for path in expected)
    for path in expected:
        if 'iter_' in path:
            assert (tmp_path / path).read_bytes() == (trained / 'pictures' /
                                                      path).read_bytes()


def refusal(capsys, *args):
    with pytest.raises(SystemExit) as stop:
        cli.main(['browse', *map(str, args)])
    assert stop.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_messages(files, tmp_path, capsys):
    config = files / 'distil.py'
    assert 'distils nothing' in refusal(capsys, files / 'teacher.py')
    assert "no image 'nowhere.png'" in refusal(capsys, config, '--images',
                                               'nowhere.png')
    assert 'there is no checkpoint' in refusal(capsys, config,
                                               tmp_path / 'none.pth')
    assert 'numbers 0 to 1' in refusal(capsys, config, '--images', '7')
    torch.save([1], tmp_path / 'list.pth')
    assert 'holds no weights' in refusal(capsys, config, tmp_path / 'list.pth')
    assert 'does not fit the student' in refusal(capsys, config,
                                                 files / 'teacher.pth')


def test_student_without_the_methods_modules(files, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mmkd.apis.print_log',
                        lambda text, *args: said.append(text))
    network = build_network(segmentor(4), 'student')
    torch.save(network.state_dict(), tmp_path / 'plain.pth')
    cli.call([
        'browse',
        str(files / 'distil.py'),
        str(tmp_path / 'plain.pth'), '--count', '1', '--out',
        str(tmp_path / 'out')
    ])
    assert any('untrained' in text for text in said)
    assert len(pictures(tmp_path / 'out')) == 2
