"""What all tests share."""
import os

# Before torch is imported: one thread gives the same sums everywhere.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')
# Before numba is imported: to compile a function of mmdet3d takes seconds, and
# to run it in Python on the data of a test takes milliseconds.
os.environ['NUMBA_DISABLE_JIT'] = '1'

import gc  # noqa: E402
import random  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from types import SimpleNamespace  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

pytest_plugins = [
    f'tests.fixtures.{name}'
    for name in ('bev', 'distillers', 'losses', 'pictures')
]


def pytest_runtest_setup(item):
    if item.get_closest_marker('gpu') and not torch.cuda.is_available():
        pytest.skip('needs a GPU')


@pytest.fixture(autouse=True)
def clean_process():
    """Seed, and take back what a runner leaves behind in the process."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer
    of_children = signal.getsignal(signal.SIGCHLD)
    torch.set_num_threads(1)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    yield
    for kind in (MessageHub, MMLogger, DefaultScope, Visualizer):
        for instance in list(kind._instance_dict.values()):
            for handler in getattr(instance, 'handlers', []):
                handler.close()
        kind._instance_dict.clear()
    torch.set_default_dtype(torch.float32)
    if of_children is not None:  # a handler that is not of Python
        signal.signal(signal.SIGCHLD, of_children)
    freeze_imports()


def freeze_imports(known=[0]):
    """Freeze all objects if many modules came since the last call."""
    if len(sys.modules) > known[0] + 100:
        known[0] = len(sys.modules)
        gc.collect()
        gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def frozen_imports():
    """Keep what was imported out of the searches for garbage, which would
    take half a second each."""
    from mmkd.utils import collector
    freeze_imports()
    patch = pytest.MonkeyPatch()
    patch.setattr(
        collector, 'gc',
        SimpleNamespace(
            isenabled=gc.isenabled,
            enable=gc.enable,
            disable=gc.disable,
            freeze=lambda: None,
            unfreeze=lambda: None))
    yield
    patch.undo()


@pytest.fixture(scope='module')
def thaws():
    """For modules with tests that call ``gc.unfreeze``."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope='session', autouse=True)
def fast_runners():
    """Leave out what costs a runner seconds and changes nothing: laying out
    the text of the config, which it does five times, asking compilers for
    their versions, and five seconds for each worker of a data loader that is
    found as garbage: its queue is closed before it is told to stop."""
    from mmengine.config import config
    from mmengine.runner import runner
    patch = pytest.MonkeyPatch()
    patch.setattr(config, 'FormatCode', lambda text, **_: (text, False))
    patch.setattr(runner, 'collect_env', dict)
    patch.setattr(torch.utils.data._utils, 'MP_STATUS_CHECK_INTERVAL', .2)
    yield
    patch.undo()


@pytest.fixture(scope='session')
def cityscapes(tmp_path_factory):
    """A few learnable pictures in the format of Cityscapes."""
    from mmkd.testing import write_cityscapes
    return write_cityscapes(str(tmp_path_factory.mktemp('cityscapes')))
