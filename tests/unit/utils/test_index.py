import os
import pickle

import numpy as np
import pytest
from mmengine.fileio import dump, load
from mmengine.fileio.handlers import registry_utils

from mmkd.errors import DataError
from mmkd.utils.index import read_index_file, read_indices_as_data
from mmkd.utils.reading import Fault

INFOS = dict(
    metainfo=dict(categories=dict(Car=0)),
    data_list=[
        dict(
            sample_idx=i,
            lidar2ego=np.eye(4).tolist(),
            num_points=np.int64(3),
            name=np.array(['Car']),
            instances=[]) for i in range(3)
    ])


class Code:

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark), )


@pytest.fixture
def handlers(monkeypatch):
    monkeypatch.setattr(registry_utils, 'file_handlers',
                        dict(registry_utils.file_handlers))
    from mmengine.fileio import io
    monkeypatch.setattr(io, 'file_handlers', registry_utils.file_handlers)


@pytest.mark.parametrize('protocol', [2, 4, 5])
def test_infos(tmp_path, protocol):
    path = tmp_path / 'infos.pkl'
    path.write_bytes(pickle.dumps(INFOS, protocol))
    assert repr(read_index_file(str(path))) == repr(INFOS)


@pytest.mark.parametrize('content, words', [
    (pickle.dumps(INFOS)[:-5], 'ends in the middle'),
    (b'<html>', 'HTML'),
    (b'PK\3\4', 'zip archive'),
    (b'', 'empty'),
    (pickle.dumps(np.array([{}], object)), 'type `O8`'),
])
def test_refused(tmp_path, content, words):
    path = tmp_path / 'infos.pkl'
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        read_index_file(str(path))
    assert str(path) in str(caught.value)


def test_missing():
    with pytest.raises(DataError, match='cannot read /nowhere: No such file'):
        read_index_file('/nowhere')


def test_mmengine_runs_no_code(tmp_path, handlers):
    path, mark = str(tmp_path / 'infos.pkl'), tmp_path / 'mark'
    read_indices_as_data()
    dump(Code(mark), path)
    with pytest.raises(Fault, match='posix.mkdir'):
        load(path)
    with open(path, 'rb') as file, pytest.raises(Fault):
        load(file, file_format='pkl')
    assert not mark.exists()
    dump(INFOS, path)
    assert repr(load(path)) == repr(INFOS)
