"""Files of completed objects."""
import multiprocessing

import numpy as np
import pytest

from mmkd.errors import ConfigError
from mmkd.methods.xray.data import build
from mmkd.methods.xray.data.completion import (CompleteObjects,
                                               CompletionOptions, input_hash)
from mmkd.testing.sequences import make_sequence, write_sequences
from tests.fixtures.completed import frames_of


def test_bytes_are_equal_for_a_seed(tmp_path, monkeypatch):
    # A new process would import for seconds.
    fork = multiprocessing.get_context('fork')
    monkeypatch.setattr(build, 'get_context', lambda kind: fork)
    found = []
    for run in range(2):
        root = tmp_path / str(run)
        names = ['s0', 's1'] if run == 0 else ['s1', 's0']
        infos = write_sequences(
            str(root), {
                name: make_sequence(name, density=4., seed=int(name[1]))
                for name in names
            })
        build.complete(
            infos,
            str(root),
            'points',
            options=CompletionOptions(max_points=200),
            workers=1 + 3 * run,
            progress=False)
        found.append({
            name: [(key, value.tobytes()) for key, value in np.load(
                build.scene_file(str(root), 'complete', name)).items()
                   if key != 'hash']
            for name in sorted(names)
        })
        again = CompleteObjects.load(
            build.scene_file(str(root), 'complete', 's0'))
        again.save(str(tmp_path / 'again.npz'))
        with open(tmp_path / 'again.npz', 'rb') as copy, open(
                build.scene_file(str(root), 'complete', 's0'), 'rb') as first:
            assert copy.read() == first.read()
    assert found[0] == found[1]


def test_resumed_without_a_broken_file(tmp_path, monkeypatch):
    root = str(tmp_path)
    names = [f's{i}' for i in range(4)]
    infos = write_sequences(
        root, {
            name: make_sequence(name, objects=3, background=50, seed=i)
            for i, name in enumerate(names)
        })
    given = (infos, root, 'points')
    work, done = build._work, []

    def killed(scene, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(scene)
        work(scene, *rest)

    monkeypatch.setattr(build, '_work', killed)
    with pytest.raises(KeyboardInterrupt):
        build.complete(*given, progress=False)
    monkeypatch.setattr(
        build, '_work', lambda scene, *rest:
        (done.append(scene), work(scene, *rest)))
    _, report = build.complete(*given, progress=False)
    assert done == names and report.counts['new'] == 2
    # A file that ends too early is not taken for one.
    path = build.scene_file(root, 'complete', 's1')
    with open(path, 'rb') as file:
        content = file.read()
    with open(path, 'wb') as file:
        file.write(content[:len(content) // 2])
    _, report = build.complete(*given, progress=False)
    assert done[4:] == ['s1']
    with open(path, 'rb') as file:
        assert file.read() == content
    # Other boxes are another scene; other options want another tag.
    infos['data_list'][0]['instances'][0]['box_lidar'][0] += .5
    _, report = build.complete(*given, progress=False)
    assert done[5:] == ['s0']
    with pytest.raises(ConfigError, match='voxel 0.05 -> 0.2.*--tag'):
        build.complete(
            *given, options=CompletionOptions(voxel=.2), progress=False)
    build.complete(
        *given,
        tag='coarse',
        options=CompletionOptions(voxel=.2),
        progress=False)
    assert not list(tmp_path.rglob('*.part'))


def test_a_scene_that_fails_leaves_the_others(tmp_path):
    root = str(tmp_path)
    infos = write_sequences(
        root,
        {name: make_sequence(name, background=10)
         for name in ('s0', 's1')})
    (tmp_path / 'points/s0_003.bin').unlink()
    found, report = build.complete(infos, root, 'points', progress=False)
    assert list(report.failed) == ['s0'] and 's0_003.bin' in str(report)
    assert {x['scene_token'] for x in found['data_list']} == {'s1'}


def test_hash_is_of_input_and_options():
    frames = frames_of(make_sequence())
    keys = {
        input_hash(frames, CompletionOptions()),
        input_hash(frames[1:], CompletionOptions()),
        input_hash(frames, CompletionOptions(seed=1)),
        input_hash(frames, CompletionOptions(strategy='icp'))
    }
    assert len(keys) == 4
