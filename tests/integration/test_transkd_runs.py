"""TransKD by the command line, on small SegFormers."""
import pytest
import torch

from mmkd import cli
from mmkd.core.network import build_network
from mmkd.testing import segmentation_config, transformer_segmentor
from mmkd.utils.checkpoint import read_file


@pytest.fixture(scope='module')
def files(cityscapes, tmp_path_factory):
    """Configs of a student and a teacher, and the teacher's weights."""
    folder = tmp_path_factory.mktemp('files')
    for name, width in (('student', 4), ('teacher', 8)):
        cfg = segmentation_config(
            cityscapes,
            'none',
            model=transformer_segmentor(width)['model'],
            max_iters=2)
        cfg.pop('work_dir')
        cfg.dump(str(folder / f'{name}.py'))
    teacher = build_network(str(folder / 'teacher.py'), 'teacher')
    torch.save(
        dict(state_dict=teacher.state_dict()), str(folder / 'teacher.pth'))
    return folder


@pytest.mark.parametrize('options', [[], ['--amp']], ids=['fp32', 'bf16'])
def test_distill(files, tmp_path, options):
    cli.call([
        'distill',
        str(files / 'student.py'), '--teacher',
        str(files / 'teacher.py'), '--teacher-ckpt',
        str(files / 'teacher.pth'), '--method', 'transkd', '--method-options',
        'variant=ea', '--work-dir',
        str(tmp_path), *options
    ])
    keys = set(read_file(str(tmp_path / 'iter_2.pth'))['state_dict'])
    plain = set(
        build_network(str(files / 'student.py'), 'student').state_dict())
    modules = {
        key.split('.')[2]
        for key in keys if key.startswith('distill.transkd.')
    }
    assert modules == {'fusion', 'alignment', 'assistants'}
    assert {key for key in keys if not key.startswith('distill.')} == plain
    cli.call([
        'export',
        str(tmp_path / 'transkd_teacher_student.py'),
        str(tmp_path / 'iter_2.pth')
    ])
    exported = torch.load(
        tmp_path / 'export/student.pth', weights_only=True)['state_dict']
    assert set(exported) == plain
    assert all(value.isfinite().all() for value in exported.values())
