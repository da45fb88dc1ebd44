import gc

import pytest

from mmkd.utils import collector
from mmkd.utils.collector import paused_collector

pytestmark = pytest.mark.usefixtures('thaws')


def test_pauses(monkeypatch):
    monkeypatch.setattr(collector, 'gc', gc)
    gc.unfreeze()
    assert gc.isenabled()
    with paused_collector():
        assert not gc.isenabled() and gc.get_freeze_count() > 0
        with paused_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count() == 0
    try:
        with paused_collector():
            raise KeyError
    except KeyError:
        assert gc.isenabled()


def test_stays_off():
    gc.disable()
    try:
        with paused_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
