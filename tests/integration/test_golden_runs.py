"""Losses of short runs of every method, bit for bit as they were recorded.

A change that must not alter what training computes leaves them equal. One
that alters it on purpose records them anew::

    python tests/integration/test_golden_runs.py --record FILE

With ``--only NAME ...``, FILE holds new records of these examples and the
committed ones of all others, for a method that is added or changed.
"""
import argparse
import json
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import Dict, Iterable, List

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import OptimWrapper
from mmengine.runner import set_random_seed

from mmkd.registry import MODELS
from mmkd.testing.methods import METHOD_EXAMPLES

GOLDEN = Path(__file__).with_name('golden_runs.json')
ITERATIONS = 20
#: Libraries whose version may change how a loss is rounded.
LIBRARIES = ('torch', 'torchvision', 'numpy', 'mmcv', 'mmengine', 'mmdet',
             'mmsegmentation', 'mmdet3d')
#: Another machine or version of a library rounds differently, and training
#: amplifies that. Only the losses of the first iteration are compared there,
#: within this relative tolerance.
TOLERANCE = 1e-3


def machine() -> Dict[str, str]:
    """What two runs must share to round alike."""
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        text = ''
    names = re.findall(r'^model name\s*:\s*(.*)$', text, re.M)
    flags = re.findall(r'^flags\s*:\s*(.*)$', text, re.M)
    simd = [
        flag for flag in sorted(set(flags[0].split() if flags else []))
        if re.match('avx|amx|fma|sse', flag)
    ]
    found = {name: version(name) for name in LIBRARIES}
    found.update(
        capability=torch.backends.cpu.get_cpu_capability(),
        cpu=names[0] if names else platform.processor(),
        simd=' '.join(simd))
    return found


def train(name: str, iterations: int = ITERATIONS) -> Dict[str, List[float]]:
    """Train a method's example on new random batches in every iteration.

    Returns:
        dict[str, list[float]]: Every logged term, a value an iteration.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    hub = MessageHub.get_instance(f'golden_{name}')
    hub.update_info('max_iters', iterations)
    try:
        set_random_seed(0)
        example = METHOD_EXAMPLES[name]()
        model = MODELS.build(
            dict(type='mmkd.DistillationModel', **example.model))
        model.init_weights()
        model.train()
        wrapper = OptimWrapper(
            torch.optim.SGD(
                model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4),
            clip_grad=dict(max_norm=10.))
        terms: Dict[str, List[float]] = {}
        for i in range(iterations):
            hub.update_info('iter', i)
            for key, value in model.train_step(
                    example.batch(2, seed=i), wrapper).items():
                terms.setdefault(key, []).append(float(value))
        return terms
    finally:
        torch.set_num_threads(threads)


def load() -> dict:
    """The machine of the record, and its losses by example and term."""
    golden = json.loads(GOLDEN.read_text())
    golden['runs'] = {
        name: {
            term: [float.fromhex(value) for value in values.split()]
            for term, values in terms.items()
        }
        for name, terms in golden['runs'].items()
    }
    return golden


@pytest.mark.parametrize('name', load()['runs'] if GOLDEN.exists() else [])
def test_losses_are_as_recorded(name):
    golden = load()
    expected = golden['runs'][name]
    same = machine() == golden['machine']
    found = train(name, ITERATIONS if same else 1)
    assert sorted(found) == sorted(expected)
    for term, values in expected.items():
        if same:
            # Equality of floats is that of their bits, for no NaN is there.
            assert found[term] == values, term
        elif 'loss' in term:  # an accuracy may step by a whole pixel
            assert found[term][0] == pytest.approx(
                values[0], rel=TOLERANCE, abs=1e-5), term


def test_every_example_is_recorded():
    assert set(load()['runs']) == set(METHOD_EXAMPLES)


def test_distillation_loss_changes_in_every_recorded_run():
    for name, terms in load()['runs'].items():
        for term, values in terms.items():
            assert len(values) == ITERATIONS, (name, term)
            assert all(abs(v) < 1e4 for v in values), (name, term)
        assert any(
            len(set(values)) == ITERATIONS for term, values in terms.items()
            if term.startswith('kd.loss')), name


def record(path: str, names: Iterable[str], kept: dict) -> None:
    """Write a record of this machine; no file is overwritten.

    Args:
        path (str): The new file.
        names (Iterable[str]): Examples that are trained.
        kept (dict): Records of others, by example.
    """
    MMLogger.get_instance('golden', log_level='WARNING')
    runs = dict(kept)
    for name in names:
        runs[name] = {
            term: ' '.join(value.hex() for value in values)
            for term, values in train(name).items()
        }
    golden = dict(machine=machine(), runs=runs)
    with open(path, 'x', encoding='utf-8') as file:
        file.write(json.dumps(golden, indent=1) + '\n')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--record', metavar='FILE', required=True, help='a new file')
    parser.add_argument(
        '--only',
        nargs='+',
        choices=list(METHOD_EXAMPLES),
        metavar='NAME',
        help='examples to record; all others stay as they are')
    args = parser.parse_args()
    if os.path.lexists(args.record):
        parser.error(f'{args.record} is there already')
    others = {}
    if args.only:
        committed = json.loads(GOLDEN.read_text())
        if committed['machine'] != machine():
            parser.error(f'{GOLDEN.name} is of another machine or of other '
                         'versions of the libraries; record without --only')
        others = {
            name: terms
            for name, terms in committed['runs'].items()
            if name in METHOD_EXAMPLES
        }
    record(args.record, args.only or METHOD_EXAMPLES, others)
