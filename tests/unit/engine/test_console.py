"""What reaches the console."""
import logging

import pytest

from mmkd.engine.console import ConsoleFilter, filter_console, open_console


def record(message, level=logging.INFO):
    return logging.LogRecord('mmengine', level, 'x.py', 1, message, (), None)


def passes(message, level=logging.INFO, opened=True):
    console = ConsoleFilter()
    console.open = opened
    return console.filter(record(message, level))


def test_only_warnings_until_the_run_begins():
    assert not passes('Iter(train) [1/4]', opened=False)
    assert passes('the teacher is bad', logging.WARNING, opened=False)
    assert passes('Iter(train) [1/4]')


@pytest.mark.parametrize('message', [
    f'\n{"-" * 60}\nSystem environment:\n    sys.platform: linux',
    'Config:\nmodel = dict()',
    'Hooks will be executed in the following order:\nbefore_run:',
    'Results of pred_instances_3d:\n----------- AP11 Results ------------',
    'Epoch(val) [1][4/4]  ' + '  '.join(f'KITTI/{i}: 0.1' for i in range(140)),
])
def test_long_messages_are_for_the_file(message):
    assert not passes(message)


def test_metrics_of_other_data_are_printed():
    assert passes('Epoch(val) [1][4/4]  ' + '  '.join(f'coco/{i}: 0.1'
                                                      for i in range(12)))


def test_noise_of_mmengine_is_dropped():
    assert not passes('The prefix is not set in metric class IoUMetric.',
                      logging.WARNING)


def test_files_and_debug_logs_are_complete(tmp_path):
    logger = logging.Logger('run')
    file = logging.FileHandler(tmp_path / 'log')
    console, debug = logging.StreamHandler(), logging.StreamHandler()
    console.setLevel(logging.INFO)
    debug.setLevel(logging.DEBUG)
    for handler in (file, console, debug):
        logger.addHandler(handler)
    filter_console(logger)
    filter_console(logger)
    assert (len(file.filters), len(console.filters),
            len(debug.filters)) == (0, 1, 0)
    assert not console.filters[0].open
    open_console(logger)
    assert console.filters[0].open
    file.close()
