"""A config file means what was meant, whatever its names and texts are."""
import math
import os
import random

import pytest
from mmengine.config import Config

from mmkd.errors import ConfigError
from mmkd.utils.config import read_config
from mmkd.utils.config_file import config_text, literal, write_config

# Each would run code, end a text or be replaced, if it were pasted.
NASTY = [
    "x'+str(__import__('os').mkdir('RAN'))+'.pth", 'x"+str(1/0)+"', "'''",
    '"""', "a'b\"c", 'a\nb', '\\', "\\'", 'a\\', '{{ fileDirname }}',
    '{{fileBasename}}', "{{$HOME:'x'}}", '{{ _base_.model }}', '{{{{', '{{{',
    '$HOME', '${HOME}', '%s', '{}', '}}', '#', ';', '\0', '\t', '\r\n',
    '\udcff\udcfe.pth', 'Straße', '重み', '\u2028', ''
]


def values(rng, depth=3):
    """A random value of a config."""
    leaves = [
        rng.choice(NASTY),
        rng.choice(NASTY) + rng.choice(NASTY), None, True, False,
        rng.randrange(-10**20, 10**20),
        rng.uniform(-1, 1), 1e300, math.inf, -math.inf, b"'\xff{{",
        'x' * rng.randrange(100)
    ]
    kind = rng.choice('vvdklt') if depth else 'v'
    if kind == 'v':
        return rng.choice(leaves)
    items = [values(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind in 'dk':
        names = NASTY if kind == 'k' else ['a', 'type', 'class', 'b1', 'None']
        return {rng.choice(names): item for item in items}
    return items if kind == 'l' else tuple(items)


@pytest.mark.parametrize('seed', range(60))
def test_round_trip(tmp_path, monkeypatch, seed):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(seed)
    content = {name: values(rng) for name in ('a', 'model', 'c')}
    cfg = Config(content)
    write_config('written.py', cfg)
    assert read_config('written.py').to_dict() == cfg.to_dict()
    assert Config.fromfile('written.py').to_dict() == cfg.to_dict()
    assert os.listdir() == ['written.py']


@pytest.mark.parametrize('name', NASTY)
def test_texts(tmp_path, name):
    content = dict(
        a=name, b={name: name}, c=[dict(x=(name, ))], d=name * 90, e={name})
    path = tmp_path / 'c.py'
    path.write_bytes(config_text(content).encode())
    assert Config.fromfile(path).to_dict() == content


def test_other_values(tmp_path):
    import numpy as np
    assert literal(np.float32(0.5)) == '0.5'
    assert literal(np.int64(3)) == '3'
    assert literal(tmp_path) == repr(str(tmp_path))
    assert literal(float('nan')) == "float('nan')"
    assert literal(Config) == "'mmengine.config.config.Config'"
    assert literal(set()) == 'set()' and literal(()) == '()'
    assert literal({1: (2, )}) == '{1: (2,)}'
    with pytest.raises(ConfigError, match=r'`a.b\[1\]` is a ndarray'):
        config_text(dict(a=dict(b=[1, np.zeros(2)])))
    for name in ('a b', 'class', '__a', 3):
        with pytest.raises(ConfigError, match='as the name'):
            config_text({name: 1})


def test_layout():
    content = dict(
        short=dict(a=1, b=[1, 2]),
        long=dict(type='A' * 30, items=[dict(name='b' * 40)] * 2, end=()))
    assert config_text(content) == f"""short = dict(a=1, b=[1, 2])
long = dict(
    type='{'A' * 30}',
    items=[
        dict(name='{'b' * 40}'),
        dict(name='{'b' * 40}'),
    ],
    end=(),
)
"""


@pytest.mark.parametrize('name',
                         [n for n in NASTY if n and '\0' not in n] + ['a b'])
@pytest.mark.parametrize('quote', '\'"')
def test_names_of_folders(tmp_path, monkeypatch, name, quote):
    """mmengine puts the names of a config's folder and file into its text."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name.replace('/', '_')
    folder.mkdir()
    base = 'a = {}{{{{ fileDirname }}}}|{{{{fileBasename}}}}{}\n'
    path = str(folder / f'c{name.replace("/", "_")}.py')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(base.format(quote, quote))
    assert read_config(path).a == f'{folder}|{os.path.basename(path)}'
    with open('next.py', 'wb') as file:
        file.write(f'_base_ = {literal(path)}\n'.encode())
    assert read_config('next.py').a == f'{folder}|{os.path.basename(path)}'
    assert not os.path.exists('RAN')
