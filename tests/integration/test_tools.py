"""The commands, as a user calls them."""
import json
import os
import os.path as osp
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from mmengine.config import Config

from mmkd import apis, cli
from mmkd.core.network import build_network
from mmkd.registry import DISTILLERS
from mmkd.testing import (detector, distillation_config, segmentation_batch,
                          segmentation_config, segmentor)
from mmkd.utils.checkpoint import read_checkpoint
from tests.fixtures.processes import python, start

ROOT = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
STAGES = dict(
    type='CWD', place='stages', student='backbone[2]', teacher='backbone[2]')


def environment():
    path = ':'.join([ROOT, *filter(None, [os.environ.get('PYTHONPATH')])])
    return dict(os.environ, PYTHONPATH=path, PYTHON=sys.executable)


@pytest.fixture(scope='module')
def files(cityscapes, tmp_path_factory):
    """Configs of student, teacher and distillation, and teacher weights."""
    folder = tmp_path_factory.mktemp('files')
    plain = segmentation_config(cityscapes, str(folder / 'work'))
    plain.pop('work_dir')
    plain.dump(str(folder / 'student.py'))
    Config(segmentor(8)).dump(str(folder / 'teacher.py'))
    teacher = build_network(segmentor(8), 'teacher')
    torch.save(
        dict(state_dict=teacher.state_dict()), str(folder / 'teacher.pth'))
    cfg = distillation_config(
        plain, dict(cwd=STAGES),
        dict(
            teacher=dict(
                cfg=str(folder / 'teacher.py'),
                ckpt=str(folder / 'teacher.pth'))))
    cfg.custom_hooks = [dict(type='EMAHook', momentum=0.3)]
    cfg.dump(str(folder / 'distil.py'))
    return folder


@pytest.fixture(scope='module')
def trained(files):
    """Work folder of a run by ``tools/train.py``."""
    work = files / 'trained'
    cli.call(['train', str(files / 'distil.py'), '--work-dir', str(work)])
    return work


def failure(capsys, *args):
    """What a failing tool prints: one line, and status 2."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(arg) for arg in args])
    assert stop.value.code == 2
    lines = [
        line for line in capsys.readouterr().err.splitlines()
        if not ('arn' in line and ('.py:' in line or 'warn(' in line))
    ]
    message = lines[-1]
    assert message.startswith('error: ') and len(message) < 700
    assert not any('Traceback' in line for line in lines)
    return message


def test_train_test_and_export(files, trained, tmp_path, capsys):
    assert (trained / 'iter_4.pth').is_file()
    checkpoint = str(trained / 'iter_4.pth')
    out = str(tmp_path / 'metrics.json')
    work = ['--work-dir', str(tmp_path)]
    cli.call(
        ['test',
         str(files / 'distil.py'), checkpoint, '--out', out, *work])
    with open(out, encoding='utf-8') as file:
        distilled = json.load(file)
    assert 0 <= distilled['mIoU'] <= 100
    cli.call(['export', str(files / 'distil.py'), checkpoint])
    weights, config = (
        str(trained / 'export' / f'student.{kind}') for kind in ('pth', 'py'))
    assert weights in capsys.readouterr().out
    # The export and the checkpoint of the run, each by either config.
    for cfg in (config, str(files / 'distil.py'), str(files / 'student.py')):
        for file in (weights, checkpoint):
            cli.call(['test', cfg, file, '--out', out, *work])
            with open(out, encoding='utf-8') as file:
                assert json.load(file)['mIoU'] == distilled['mIoU']


def test_library_runs_the_export(files, trained, tmp_path):
    """mmseg's own tool and loader, which know nothing of mmkd."""
    out = tmp_path / 'export'
    checkpoint = str(trained / 'iter_4.pth')
    cli.call([
        'export',
        str(files / 'distil.py'), checkpoint, '--out-dir',
        str(out)
    ])
    text = (out / 'student.py').read_text()
    assert 'mmkd' not in text
    exported = Config.fromfile(str(out / 'student.py'))
    # Of the teacher, only where it came from.
    origin = exported.pop('teachers')['teacher']
    assert origin['weights'] == 'teacher.pth'
    assert 'teacher' not in exported.pretty_text
    code = '''
import sys, torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules
register_all_modules()
cfg, weights, batch, out = sys.argv[1:]
model = MODELS.build(Config.fromfile(cfg).model).eval()
load_checkpoint(model, weights, strict=True, map_location='cpu')
with torch.no_grad():
    logits = model(torch.load(batch), mode='tensor')
assert not any(name.split('.')[0] == 'mmkd' for name in sys.modules)
torch.save(logits, out)
'''
    cfg = Config.fromfile(str(files / 'distil.py'))
    cfg.work_dir = str(tmp_path)
    runner = apis.build_runner(apis.prepare_training(cfg))
    model = runner.model.eval()
    model.load_state_dict(
        torch.load(checkpoint, weights_only=False)['state_dict'])
    batch = model.data_preprocessor(segmentation_batch(), False)
    torch.save(batch['inputs'], tmp_path / 'batch.pth')
    with torch.no_grad():
        expected = model(batch['inputs'], mode='tensor')
    done = python('-c', code, out / 'student.py', out / 'student.pth',
                  tmp_path / 'batch.pth', tmp_path / 'logits.pth')
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / 'logits.pth').equal(expected)

    import mmseg
    tool = osp.join(osp.dirname(mmseg.__file__), '.mim', 'tools', 'test.py')
    done = python(
        tool,
        out / 'student.py',
        out / 'student.pth',
        '--work-dir',
        tmp_path / 'work',
        cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    metrics, = tmp_path.glob('work/*/*.json')
    assert 'mIoU' in metrics.read_text()


@pytest.mark.parametrize('kind', ['pth', 'safetensors'])
def test_raw_and_averaged_weights(files, trained, tmp_path, kind):
    from mmkd.utils.checkpoint import read_checkpoint
    checkpoint = str(trained / 'iter_4.pth')
    content = torch.load(checkpoint, weights_only=False)
    # As in mmengine, the trained weights lie where averages were.
    sources = dict(
        ema=content['state_dict'],
        raw={
            k[7:]: v
            for k, v in content['ema_state_dict'].items()
            if k.startswith('module.')
        })
    for which, expected in sources.items():
        args = [f'--{which}', '--out-dir', str(tmp_path / which)]
        if kind == 'safetensors':
            args[1:] = ['--out', str(tmp_path / which / f'student.{kind}')]
        cli.call(['export', str(files / 'distil.py'), checkpoint, *args])
        exported = read_checkpoint(str(tmp_path / which / f'student.{kind}'))
        state = exported.state_dict
        assert exported.classes[:2] == ['road', 'sidewalk']
        assert (tmp_path / which / 'student.py').is_file()
        assert not any(key.startswith('distill') for key in state)
        for key, value in state.items():
            assert value.equal(expected[key]), key


def test_export_of_what_is_not_there(files, trained, tmp_path, capsys):
    exported = apis.export_student(
        str(files / 'distil.py'), str(trained / 'iter_4.pth'),
        str(tmp_path))[0]
    for which in ('--ema', '--raw'):
        message = failure(capsys, 'export', files / 'distil.py', exported,
                          which)
        assert f'leave {which} out' in message
    message = failure(capsys, 'export', files / 'distil.py',
                      files / 'teacher.pth')
    assert 'does not fit the student' in message
    message = failure(capsys, 'export', files / 'distil.py', exported, '--out',
                      tmp_path / 'student.onnx')
    assert 'a .pth or a .safetensors' in message


def test_killed_and_resumed(files, tmp_path):
    """SIGKILL at any moment; the run goes on from its last checkpoint."""
    process = start(
        f'{ROOT}/tools/train.py',
        files / 'distil.py',
        '--work-dir',
        tmp_path,
        '--cfg-options',
        'train_cfg.max_iters=2000',
        'train_cfg.val_interval=9999',
        'default_hooks.checkpoint.interval=1',
        'default_hooks.checkpoint.max_keep_ckpts=1',
        'log_level=INFO',
        output=tmp_path)
    try:
        deadline = time.time() + 900
        while time.time() < deadline and process.is_alive():
            if (tmp_path / 'iter_3.pth').exists():
                break
            time.sleep(0.02)
    finally:
        process.kill()
        process.join()
    assert process.exitcode == -signal.SIGKILL, (tmp_path /
                                                 'stderr').read_text()[-2000:]
    from mmkd.engine.checkpoints import last_checkpoint
    last = last_checkpoint(str(tmp_path))
    done = torch.load(last, weights_only=False)['meta']['iter']
    assert done >= 2
    cfg = Config.fromfile(str(files / 'distil.py'))
    cfg.work_dir, cfg.resume = str(tmp_path), True
    cfg.train_cfg.max_iters = done + 2
    cfg.default_hooks.checkpoint.interval = 1
    runner = apis.train(cfg)
    assert runner.iter == done + 2
    history = runner.message_hub.log_scalars['train/loss']._log_history
    assert len(history) == done + 2


def test_nothing_to_resume_leaves_the_weights_of_the_config(
        files, trained, tmp_path, capsys):
    """The same command begins a run and continues it."""
    weights = str(trained / 'iter_4.pth')
    command = [
        'train',
        str(files / 'student.py'), '--work-dir',
        str(tmp_path), '--resume', '--cfg-options', f'load_from={weights}',
        'optim_wrapper.optimizer.lr=0', 'train_cfg.max_iters=1'
    ]
    cli.call(command)
    said = capsys.readouterr().out
    assert f'no checkpoint in {tmp_path} to resume from' in said
    assert f'weights of {weights}' in said
    found = read_checkpoint(str(tmp_path / 'iter_1.pth')).state_dict
    wanted = read_checkpoint(weights).state_dict
    key = 'decode_head.conv_seg.weight'
    assert found[key].equal(wanted[key])
    command[-1] = 'train_cfg.max_iters=2'
    cli.call(command)
    assert 'Advance dataloader 1 steps' in capsys.readouterr().out


def test_resume_by_command(files, trained, tmp_path):
    work = tmp_path / 'again'
    cli.call([
        'train',
        str(files / 'distil.py'), '--work-dir',
        str(work), '--resume',
        str(trained / 'iter_4.pth'), '--amp', '--cfg-options',
        'train_cfg.max_iters=6', 'default_hooks.checkpoint.interval=6'
    ])
    assert (work / 'iter_6.pth').is_file()
    cli.call([
        'train',
        str(files / 'distil.py'), '--work-dir',
        str(work), '--resume', '--cfg-options', 'train_cfg.max_iters=7',
        'default_hooks.checkpoint.interval=7'
    ])
    content = torch.load(work / 'iter_7.pth', weights_only=False)
    assert content['meta']['iter'] == 7


def test_list_taps(files, capsys):
    cli.call(['taps', str(files / 'distil.py'), '--size', '32', '64'])
    text = capsys.readouterr().out
    student, teacher = text.split('teacher: ')
    assert student.startswith('student: ')
    for line in ('decode_head.conv_seg', "standard place 'logits'",
                 '(1, 32, 1, 2)'):
        assert line in student
    assert 'backbone.layer4' in teacher and '(1, 64, 1, 2)' in teacher
    cli.call([
        'taps',
        str(files / 'student.py'), '--size', '32', '64', '--depth', '1',
        '--match', 'backbone'
    ])
    text = capsys.readouterr().out
    assert 'student: 1 places' in text and 'layer1' not in text


def test_distill(files, tmp_path, capsys):
    args = [
        str(files / 'student.py'), '--teacher',
        str(files / 'teacher.py'), '--teacher-ckpt',
        str(files / 'teacher.pth')
    ]
    cli.call([
        'distill', *args, '--method', 'logits_kd', '--method-options',
        'tau=2.0', 'loss_weight=3', '--config-only', '--work-dir',
        str(tmp_path / 'a')
    ])
    text = capsys.readouterr().out
    assert "dict(type='LogitsKD', tau=2.0, loss_weight=3)" in text
    assert 'decode_head.conv_seg  19x' in text.replace('student:', '')
    assert os.listdir(tmp_path / 'a') == ['logitskd_teacher_student.py']
    cli.call(['distill', *args, '--work-dir', str(tmp_path / 'b')])
    text = capsys.readouterr().out
    assert 'method: FeatureKD (segmentation: ' in text
    assert "start: the leading channels of the teacher's weights" in text
    config = tmp_path / 'b' / 'featurekd_teacher_student.py'
    assert (tmp_path / 'b' / 'iter_4.pth').is_file()
    text = config.read_text()
    assert "loss_weight=dict(type='auto', ratio=1.0)" in text
    assert len(text.splitlines()) <= 22
    assert (tmp_path / 'b' / 'featurekd_teacher_student_full.py').is_file()
    # What it wrote is an ordinary config.
    cli.call([
        'test',
        str(config),
        str(tmp_path / 'b' / 'iter_4.pth'), '--work-dir',
        str(tmp_path)
    ])


def test_distill_by_the_weights_of_the_teacher(files, tmp_path, capsys):
    args = [
        'distill',
        str(files / 'student.py'), '--teacher',
        str(files / 'teacher.py'), '--teacher-ckpt',
        str(files / 'teacher.pth')
    ]
    cli.call([
        *args, '--inherit', '--method', 'none', '--work-dir',
        str(tmp_path / 'a')
    ])
    assert (tmp_path / 'a' / 'inherit_teacher_student.py').is_file()
    assert (tmp_path / 'a' / 'iter_4.pth').is_file()

    def hooks(*options):
        folder = tmp_path / 'b'
        cli.call([*args, *options, '--config-only', '--work-dir', str(folder)])
        capsys.readouterr()
        path, = folder.glob('*_student.py')
        found = Config.fromfile(path).get('custom_hooks', [])
        shutil.rmtree(folder)
        return found

    narrow = dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
    assert hooks() == hooks('--inherit', '--method', 'cwd') == [narrow]
    assert hooks('--no-inherit') == hooks('--method', 'cwd') == []
    path = str(files / 'teacher.pth')
    assert hooks('--cfg-options', f'load_from={path}') == []
    pretrained = dict(type='Pretrained', checkpoint=path)
    for weights in ({
            'load_from': path
    }, {
            'model.backbone.init_cfg': pretrained
    }):
        cfg = Config.fromfile(files / 'student.py')
        cfg.merge_from_dict(weights)
        cfg.dump(str(tmp_path / 'student.py'))
        args[1] = str(tmp_path / 'student.py')
        assert hooks() == []

    def refused(*options):
        return failure(capsys, *args, '--method', 'none', *options)

    assert 'add --inherit' in refused()
    Config(detector(8)).dump(str(tmp_path / 'detector.py'))
    message = failure(capsys, 'distill', files / 'student.py', '--teacher',
                      tmp_path / 'detector.py', '--teacher-ckpt', 'random',
                      '--inherit', '--method', 'none')
    assert 'of the teacher (RetinaNet)' in message
    assert '--cache needs a method' in refused('--inherit', '--cache',
                                               tmp_path)


def test_inherit(files, tmp_path, capsys):
    """The file has what a student starts from that the hook fills."""
    args = [
        'inherit', files / 'student.py', '--teacher', files / 'teacher.py',
        '--teacher-ckpt', files / 'teacher.pth'
    ]

    def call(name, *more):
        cli.call([*map(str, args), '--out', str(tmp_path / name), *more])
        return read_checkpoint(str(tmp_path / name)).state_dict

    found = call('student.pth')
    printed = capsys.readouterr().out
    assert f"load_from = '{tmp_path}/student.pth'" in printed
    assert "tensors from teacher 'teacher'" in printed
    student = build_network(str(files / 'student.py'), 'student')
    student.load_state_dict(found)
    teacher = torch.load(str(files / 'teacher.pth'))['state_dict']
    key = next(iter(found))
    narrow, wide = found[key], teacher[key]
    assert narrow.shape != wide.shape
    assert torch.equal(narrow, wide[tuple(map(slice, narrow.shape))])
    again = call('again.safetensors', '--seed', '0')
    assert all(torch.equal(found[key], again[key]) for key in found)
    part = call('backbone.pth', '--part', 'backbone')
    assert "prefix='backbone.')" in capsys.readouterr().out
    assert {*part} == {key for key in found if key.startswith('backbone.')}
    # Without weights, the teacher is as its config initialises it.
    cfg = Config.fromfile(files / 'teacher.py')
    cfg.model.backbone.init_cfg = dict(
        type='Pretrained',
        checkpoint=str(files / 'teacher.pth'),
        prefix='backbone.')
    cfg.dump(str(tmp_path / 'initialised.py'))
    args[3:] = [tmp_path / 'initialised.py']
    initial = call('initial.pth')
    assert all(torch.equal(part[key], initial[key]) for key in part)
    assert any(not torch.equal(found[key], initial[key]) for key in found
               if key.startswith('decode_head.'))


def test_inherit_refuses(files, tmp_path, capsys):
    args = [
        'inherit', files / 'student.py', '--teacher', files / 'teacher.py',
        '--teacher-ckpt', files / 'teacher.pth', '--out'
    ]
    out = tmp_path / 'student.pth'
    assert 'is a .pth or a .safetensors' in failure(capsys, *args, tmp_path)
    assert 'teacher.pth exists' in failure(capsys, *args,
                                           files / 'teacher.pth')
    assert "has no module 'neck'" in failure(capsys, *args, out, '--part',
                                             'neck')
    assert not out.exists()


def test_advise(files, tmp_path, capsys):
    cli.call([
        'advise',
        str(files / 'student.py'), '--teacher',
        str(files / 'teacher.py'), '--teacher-ckpt',
        str(files / 'teacher.pth'), '--batches', '1', '--json',
        str(tmp_path / 'advice.json')
    ])
    text = capsys.readouterr().out
    assert 'segmentation; a step of the student alone: ' in text
    assert 'do not serve them:' in text and 'start with featurekd ' in text
    with open(tmp_path / 'advice.json') as file:
        found = json.load(file)
    assert found['start_with'] == 'FeatureKD'
    assert found['start_with_options']['loss_weight.type'] == 'auto'
    assert found['inherit'] and '--inherit' in text
    methods = {method['method']: method for method in found['methods']}
    assert set(methods) >= {'BPKD', 'CWD', 'MGD', 'PKD', 'UniDistill'}
    assert methods['BPKD']['loss_weight'] > 0
    assert methods['FGD']['reason'] and methods['FGD']['time'] is None


HINT = """
import torch.nn.functional as F

from mmkd.core import Distiller
from mmkd.registry import DISTILLERS


@DISTILLERS.register_module()
class Hint(Distiller):
    roles = ('logits', )

    def __init__(self, power=2., **kwargs):
        super().__init__(**kwargs)
        self.power = power

    def losses(self, student, teacher, batch):
        distance = F.l1_loss(student['logits'][0], teacher['logits'][0])
        return dict(loss=distance**self.power)
"""


@pytest.fixture
def own_imports(monkeypatch):
    """Forget what a test imports and registers."""
    modules = set(sys.modules)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    monkeypatch.setattr(DISTILLERS, '_module_dict', {**DISTILLERS.module_dict})
    yield
    for name in set(sys.modules) - modules:
        if 'hint' in name:
            del sys.modules[name]


def test_distill_by_a_method_of_the_users_file(files, tmp_path, own_imports):
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'my_hint.py').write_text(HINT)
    done = python(
        f'{ROOT}/tools/distill.py',
        files / 'student.py',
        '--teacher',
        files / 'teacher.py',
        '--teacher-ckpt',
        files / 'teacher.pth',
        '--import',
        'my_hint.py',
        '--method',
        'hint',
        '--method-options',
        'power=1.5',
        '--work-dir',
        '../work',
        '--cfg-options',
        'train_cfg.max_iters=2',
        cwd=tmp_path / 'mine')
    assert done.returncode == 0, done.stderr[-3000:]
    # The work folder is complete.
    shutil.rmtree(tmp_path / 'mine')
    work = tmp_path / 'work'
    config = work / 'hint_teacher_student.py'
    assert "custom_imports = dict(imports=['my_hint'])" in config.read_text()
    assert "type='Hint', power=1.5" in config.read_text()
    cli.call(['train', str(config), '--resume', '--work-dir', str(work)])
    assert (work / 'iter_4.pth').is_file()
    assert sys.modules['my_hint'].__file__ == str(work / 'my_hint.py')
    whole = [
        str(work / 'hint_teacher_student_full.py'),
        str(work / 'iter_4.pth')
    ]
    cli.call(['test', *whole, '--work-dir', str(tmp_path)])
    cli.call(['export', *whole])
    # The student's own library does not need the method.
    exported, = (work / 'export').glob('*.py')
    assert 'custom_imports' not in exported.read_text()


def test_distill_by_a_method_of_a_package(files, tmp_path, monkeypatch,
                                          own_imports):
    package = tmp_path / 'hints' / 'inner'
    package.mkdir(parents=True)
    (package / 'hint.py').write_text(HINT)
    student = tmp_path / 'student.py'
    student.write_text(f"_base_ = '{files / 'student.py'}'\n"
                       "custom_imports = dict(imports='colorsys')")
    monkeypatch.syspath_prepend(str(tmp_path))
    cli.call([
        'distill',
        str(student), '--teacher',
        str(files / 'teacher.py'), '--teacher-ckpt',
        str(files / 'teacher.pth'), '--method', 'Hint', '--import',
        'hints.inner.hint', '--config-only', '--work-dir',
        str(tmp_path / 'work')
    ])
    cfg = Config.fromfile(tmp_path / 'work' / 'hint_teacher_student.py')
    assert cfg.custom_imports.imports == ['colorsys', 'hints.inner.hint']


def test_messages(files, tmp_path, capsys):
    """One line that says what to write instead."""

    def train(*options):
        return failure(capsys, 'train', files / 'distil.py', '--work-dir',
                       tmp_path / 'w', '--cfg-options', *options)

    distiller, teacher = 'model.distillers.cwd', 'model.teachers.teacher'
    message = train(f'{distiller}.student=backbnoe')
    assert "no module 'backbnoe'. Did you mean backbone" in message
    assert '`mmkd taps`' in message
    message = train(f'{distiller}.student=decode_head')
    assert 'never fired' in message and 'decode_head.conv_seg' in message
    message = train(f'{distiller}.taw=3')
    assert "no argument 'taw'. Did you mean tau" in message
    message = train(f'{distiller}.type=CDW')
    assert "no method 'CDW'" in message and 'CWD' in message
    message = train(f'{teacher}.ckpt=/nowhere/t.pth')
    assert 'there is no checkpoint /nowhere/t.pth' in message
    cut = tmp_path / 'cut.pth'
    whole = (files / 'teacher.pth').read_bytes()
    cut.write_bytes(whole[:len(whole) // 2])
    message = train(f'{teacher}.ckpt={cut}')
    assert 'cut.pth' in message and 'truncated' in message
    five = tmp_path / 'five.pth'
    network = build_network(segmentor(8, num_classes=5), 'x')
    torch.save(network.state_dict(), five)
    message = train(f'{teacher}.ckpt={five}')
    assert 'five.pth' in message and 'trained on other classes' in message

    class Code:

        def __reduce__(self):
            return os.system, (f'touch {tmp_path}/mark', )

    torch.save(dict(state_dict={}, meta=Code()), tmp_path / 'evil.pth')
    message = train(f'{teacher}.ckpt={tmp_path}/evil.pth')
    assert 'evil.pth' in message and 'posix.system' in message
    assert not (tmp_path / 'mark').exists()
    assert 'iter_1.pth' not in os.listdir(tmp_path)
    message = failure(capsys, 'train', tmp_path / 'none.py')
    assert 'there is no config file' in message
    message = failure(capsys, 'distill', files / 'student.py', '--teacher',
                      files / 'teacher.py', '--teacher-ckpt', '/gone.pth')
    assert 'there is no checkpoint /gone.pth' in message
    message = failure(capsys, 'distill', files / 'student.py', '--teacher',
                      files / 'teacher.py', '--teacher-ckpt',
                      files / 'teacher.pth', '--method', 'bpdk')
    assert "no method 'bpdk'" in message and 'BPKD' in message
    message = failure(capsys, 'distill', files / 'student.py', '--teacher',
                      files / 'teacher.py', '--teacher-ckpt',
                      files / 'teacher.pth', '--method', 'fgd')
    assert 'Methods that serve these networks: featurekd, ' in message
    assert 'bpkd, ' in message
    message = failure(capsys, 'test', files / 'distil.py',
                      files / 'teacher.pth', '--work-dir', tmp_path)
    assert 'does not fit the student' in message


def test_script_ends_with_a_message(files):
    """The script itself, once: no trace, status 2."""
    done = python(f'{ROOT}/tools/train.py', files / 'distil.py',
                  '--cfg-options', 'model.teachers.teacher.ckpt=/gone.pth',
                  '--work-dir', files / 'w')
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        'error: there is no checkpoint /gone.pth')
    assert 'Traceback' not in done.stderr


def test_two_processes(files, tmp_path):
    """DDP without looking for unused parameters: a connector that idles at
    first, and weights that agree in the end, that of the loss too."""
    config = tmp_path / 'ddp.py'
    config.write_text(f'''
_base_ = {str(files / 'distil.py')!r}
find_unused_parameters = False
custom_hooks = [dict(type='WeightsOfRank', _scope_='mmengine')]
custom_imports = dict(imports=['weights_of_rank'])
train_cfg = dict(max_iters=4)
model = dict(distillers=dict(cwd=dict(
    connector=dict(type='ConvConnector', norm_cfg=dict(type='BN')),
    loss_weight=dict(type='auto', begin=2))))
''')
    (tmp_path / 'weights_of_rank.py').write_text(f'''
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class WeightsOfRank(Hook):

    def after_train(self, runner):
        model = runner.model
        torch.save(
            dict(wrapper=type(model).__name__,
                 unused=model.find_unused_parameters,
                 weight=model.module.distillers['cwd'].balance.weight,
                 parameters=dict(model.module.named_parameters())),
            {str(tmp_path)!r} + f'/rank{{get_rank()}}.pth')
''')
    env = environment()
    env['PYTHONPATH'] += f':{tmp_path}'
    done = subprocess.run([
        'bash', f'{ROOT}/tools/dist_train.sh',
        str(config), '2', '--work-dir',
        str(tmp_path / 'work')
    ],
                          env=dict(env, PORT=str(29000 + os.getpid() % 900)),
                          capture_output=True,
                          text=True,
                          timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (
        torch.load(tmp_path / f'rank{rank}.pth', weights_only=False)
        for rank in (0, 1))
    assert first['wrapper'] == 'MMDistributedDataParallel'
    assert first['unused'] is False
    assert first['weight'] == second['weight'] != 1
    for name, value in first['parameters'].items():
        assert value.equal(second['parameters'][name]), name
    assert (tmp_path / 'work' / 'iter_4.pth').is_file()
