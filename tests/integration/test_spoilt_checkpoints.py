"""A checkpoint with one spoilt value ends a resumed run in one line.

Every value of the checkpoint of a real run is spoilt in every way. What the
run goes on with must be a value that the run could have written itself.
"""
import copy
import math
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmkd import cli
from mmkd.testing import distillation_config, segmentation_config
from mmkd.utils.config_file import write_config

SPOILT = dict(
    missing=None,
    none=None,
    text='iter_1',
    nan=math.nan,
    inf=math.inf,
    negative=-3,
    huge=10**18,
    half=0.5,
    list=[[], 1],
    nested=dict(x=dict(y=1)))

#: Of no consequence for training: notes for people, and what may be missing
#: or has its meaning in the run that reads it.
FREE = ('decoupled_weight_decay', 'meta.dataset_meta.',
        'message_hub.runtime_info.dataset_meta.',
        'message_hub.runtime_info.eta', 'message_hub.runtime_info.mmkd_shares',
        'meta.cfg', 'meta.time', 'meta.experiment_name',
        'meta.mmengine_version', 'meta.teachers')

#: What may be absent: the run goes on without it, or makes it anew.
OPTIONAL = ('message_hub.runtime_info.', 'message_hub.log_scalars.',
            'message_hub.resumed_keys.', 'meta.seed', 'meta.dataset_meta',
            'optimizer', 'param_schedulers', 'ema_state_dict', 'resume',
            'optimizer.state.', 'param_schedulers[0].', 'state_dict.distill.')

#: What the first run could have left in another form.
FORMS = {
    'meta.seed': ['none'],
    'meta.dataset_meta': ['none', 'nested'],
    'message_hub.runtime_info': ['nested'],
    'message_hub.runtime_info.seed': ['none'],
    'message_hub.runtime_info.loop_stage': ['none'],
    'message_hub.runtime_info.dataset_meta': ['none', 'nested'],
    'message_hub.runtime_info.last_ckpt': ['none'],
    'message_hub.runtime_info.best_ckpt': ['none'],
    'message_hub.runtime_info.best_score': ['inf'],
    'param_schedulers[0].eta_min': ['half'],
    'resume.processes[0].loader': ['none'],
    'resume.processes[0].loader.made_by.batch_size': ['none'],
}

#: What is checked before anything of the run is built.
EARLY = ('meta', 'message_hub', 'resume.processes[0].random',
         'resume.processes[0].loader')


@pytest.fixture(scope='module')
def run(cityscapes, tmp_path_factory):
    """A run of two iterations with all that a checkpoint can hold."""
    folder = tmp_path_factory.mktemp('spoilt')
    cfg = segmentation_config(
        cityscapes,
        'work',
        max_iters=2,
        train_cfg__val_interval=1,
        optim_wrapper__accumulative_counts=2,
        optim_wrapper__optimizer=dict(_delete_=True, type='AdamW', lr=0.01),
        default_hooks__checkpoint__interval=1,
        default_hooks__checkpoint__max_keep_ckpts=2,
        default_hooks__checkpoint__save_best='mIoU',
        custom_hooks=[dict(type='EMAHook', momentum=0.3)])
    cfg = distillation_config(
        cfg,
        dict(
            cwd=dict(
                type='CWD',
                place='stages',
                student='backbone[2]',
                teacher='backbone[2]')))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_config('run.py', cfg)
        cli.call(['train', 'run.py', '--cfg-options', 'train_cfg.max_iters=1'])
    return folder


def children(value):
    """Keys or numbers of what is in a value."""
    if isinstance(value, dict):
        return list(value)
    if isinstance(value, (list, tuple)):
        return list(range(len(value)))
    return ['max_length', '_log_history', '_count_history'] if isinstance(
        value, HistoryBuffer) else []


def get(value, key):
    return vars(value)[key] if isinstance(value, HistoryBuffer) else value[key]


def places(value, path=(), name=''):
    """All places of a checkpoint: keys, and how to call them."""
    for key in children(value):
        inner = f'{name}[{key}]' if isinstance(
            key, int) else (f'{name}.{key}' if name else key)
        if isinstance(key, int) and (key > 1 or '.random.'
                                     in inner) or key in ('params', ):
            continue  # more of the same
        if name.endswith(
            ('state_dict', 'log_scalars',
             'resumed_keys')) and (children(value).index(key) > 1):
            continue
        yield (*path, key), inner
        yield from places(get(value, key), (*path, key), inner)


def can_be_had(old, kind):
    """Whether a value can stand in the place of another."""
    if kind not in ('nan', 'inf'):
        return True
    if torch.is_tensor(old):
        return old.is_floating_point()
    return not isinstance(old, np.ndarray)  # a metric may be NaN


def spoil(content, path, kind):
    """A copy with another value in a place."""
    content = copy.deepcopy(content)
    parent = content
    for depth, key in enumerate(path[:-1]):
        inner = get(parent, key)
        if isinstance(inner, tuple):
            inner = list(inner)
            put(parent, key, inner)
        parent = inner
    old, value = get(parent, path[-1]), copy.deepcopy(SPOILT[kind])
    if kind == 'missing':
        if isinstance(parent, HistoryBuffer):
            del parent.__dict__[path[-1]]
        else:
            del parent[path[-1]]
        return content
    if torch.is_tensor(old) and kind in ('nan', 'inf'):
        value = torch.full_like(old, value)
    put(parent, path[-1], value)
    return content


def put(parent, key, value):
    target = vars(parent) if isinstance(parent, HistoryBuffer) else parent
    target[key] = value


def content_of(folder):
    return {
        str(path): path.read_bytes()
        for path in Path(folder).iterdir() if path.is_file()
    }


def attempt(number, capsys):
    """Resume; the exit status, and what was said on stderr."""
    options = [f'experiment_name=try{number}', 'log_level=ERROR']
    code = None
    try:
        cli.main([
            'train', 'run.py', '--resume', 'work/iter_1.pth', '--work-dir',
            f'tries/{number}', '--cfg-options', *options
        ])
    except SystemExit as stop:
        code = stop.code
    except Exception as error:  # a traceback, for the user
        code = repr(error)
    return code, [
        line for line in capsys.readouterr().err.splitlines()
        if line.startswith(('error', 'Traceback'))
    ]


def could_be(name, old, kind):
    """Whether the run could have written such a value itself."""
    if kind == 'missing':
        return name.startswith(OPTIONAL)
    if kind in FORMS.get(name, ()):
        return True
    if isinstance(old, str):
        return kind == 'text'
    if old is None or isinstance(old, bool):
        return kind in ('none', 'half', 'negative', 'huge')
    if isinstance(old, (float, np.floating)):
        return kind in ('half', 'huge', 'negative')
    return False


def test_every_value(run, capsys, monkeypatch):
    monkeypatch.chdir(run)
    content = torch.load('work/iter_1.pth', weights_only=False)
    rng, wrong, refused, tried = random.Random(0), [], 0, 0
    for path, name in places(content):
        old = content
        for key in path:
            old = get(old, key)
        for kind in SPOILT:
            free = any(text in name
                       for text in FREE) or could_be(name, old, kind)
            # What is fine costs an iteration, and what is compared with the
            # model costs building one; a part of these will do.
            part = 0.03 if free else 0.3 if name.startswith(EARLY) else 0.04
            if not can_be_had(old, kind) or rng.random() > part:
                continue
            torch.save(spoil(content, path, kind), 'work/iter_1.pth')
            before = content_of('work')
            tried += 1
            code, said = attempt(tried, capsys)
            refused += code == 2
            if code == 0 and free:
                continue
            if code != 2 or len(said) != 1 or len(
                    said[0]) > 500 or ('iter_1.pth' not in said[0]):
                wrong.append((name, kind, code, said))
            elif content_of('work') != before:
                wrong.append((name, kind, 'the folder has changed'))
            elif name.startswith(EARLY) and os.path.exists(f'tries/{tried}'):
                wrong.append((name, kind, 'a folder was made', said))
    assert not wrong, '\n'.join(map(str, wrong[:10]))
    assert refused > 120, (tried, refused)
