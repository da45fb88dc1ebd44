import pytest

from mmkd.cli.commands.distill import _with_taps
from mmkd.errors import ConfigError


class Pair:

    def label_free_taps(self, options):
        self.options = options
        return ['backbone[2]', 'backbone[3]']


def test_taps_without_labels_follow_the_options():
    pair = Pair()
    found = _with_taps(None, {'teacher.features': 'dino:maps[-1]'}, pair)
    assert pair.options == dict(teacher=dict(features='dino:maps[-1]'))
    assert found == dict(pair.options, student=['backbone[2]', 'backbone[3]'])
    given = _with_taps(None, {'student.features': 'backbone[1]'}, None)
    assert given == dict(student=dict(features='backbone[1]'))
    with pytest.raises(ConfigError, match="no option 'teachr'"):
        _with_taps(None, dict(teachr='dino:maps'), pair)
