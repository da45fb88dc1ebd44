import pytest
from mmengine.config import Config

from mmkd.errors import ConfigError
from mmkd.utils.config import official_weights, parts_of, read_config

PSPNET = 'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'


def test_forms(tmp_path):
    file = tmp_path / 'c.py'
    file.write_text("model = dict(type='A')\n")
    assert read_config(str(file)).model.type == 'A'
    assert read_config(dict(type='A')).model.type == 'A'
    assert read_config(dict(model=dict(type='A'), x=1)).x == 1
    cfg = Config(dict(model=dict(type='A')))
    read = read_config(cfg)
    read.model.type = 'B'
    assert cfg.model.type == 'A'


def test_packaged():
    for name in (PSPNET, PSPNET[:-3]):
        assert read_config(name).model.type == 'EncoderDecoder'


@pytest.mark.parametrize('name, message', [
    ('nowhere.py', 'there is no config file nowhere.py.*mmseg::'),
    ('mmfoo::a.py', 'the package mmfoo is not installed'),
    ('../x::a.py', 'is not installed'),
    (PSPNET.replace('r18-d8', 'r19-d8'), 'Did you mean pspnet/pspnet_r18-d8'),
])
def test_not_found(name, message):
    with pytest.raises(ConfigError, match=message):
        read_config(name)


@pytest.mark.parametrize('text',
                         ['model = dict(', "_base_ = 'gone.py'", 'a = b'])
def test_unreadable(tmp_path, text):
    file = tmp_path / 'c.py'
    file.write_text(text)
    with pytest.raises(ConfigError, match='cannot read the config') as error:
        read_config(str(file))
    assert '\n' not in str(error.value)


def test_official_weights():
    url = official_weights(PSPNET)
    assert url.startswith('https://') and url.endswith('.pth')
    with pytest.raises(ConfigError, match='needs a config of a library'):
        official_weights('mine.py')


def test_parts_of_another_config(tmp_path):
    (tmp_path / 'one.py').write_text(
        "model = dict(type='A', head=dict(sizes=(1, 2)), neck=dict(c=3))\n")
    (tmp_path / 'base.py').write_text("model = dict(type='B', neck=dict(d=4))")
    two = tmp_path / 'two.py'
    two.write_text("_base_ = 'base.py'\n"
                   'from mmkd.utils.config import parts_of\n'
                   "model = parts_of('{{fileDirname}}/one.py', 'head', "
                   "'neck')\n")
    found = Config.fromfile(two)
    assert found.to_dict() == dict(
        model=dict(type='B', head=dict(sizes=(1, 2)), neck=dict(c=3, d=4)))
    with pytest.raises(ConfigError, match="no 'backbone', but type, head"):
        parts_of(str(tmp_path / 'one.py'), 'head', 'backbone')


def test_a_misspelt_file_is_corrected(tmp_path):
    (tmp_path / 'student.py').write_text('')
    with pytest.raises(ConfigError, match='mean .*/student.py'):
        read_config(str(tmp_path / 'studnet.py'))
