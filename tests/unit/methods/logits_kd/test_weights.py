import json
from types import SimpleNamespace

import pytest
import torch

from mmkd.core.batch import StepBatch
from mmkd.errors import ConfigError, DataError
from mmkd.methods.logits_kd.weights import InfluenceWeights, build_cell_weights


def of_images(weights, *metas):
    batch = StepBatch(
        data_samples=[SimpleNamespace(metainfo=x) for x in metas])
    return weights(batch, torch.zeros(0), torch.zeros(0)).tolist()


@pytest.fixture
def influences(tmp_path):

    def write(content):
        path = tmp_path / 'influences.json'
        path.write_text(content)
        return str(path)

    return write


def test_golden_weights(influences):
    weights = build_cell_weights(
        dict(
            type='InfluenceWeights',
            file=influences(json.dumps({
                '7': -1,
                'b.png': 0,
                'c.png': 3
            }))))
    assert of_images(weights, dict(img_id=7, img_path='x/7.png'),
                     dict(img_path='x/b.png'),
                     dict(img_path='y/c.png')) == pytest.approx(
                         [0.367879441, 0.606530660, 2.718281828])
    with pytest.raises(DataError, match="no influence for the image 'd.png'"):
        of_images(weights, dict(img_path='d.png'))


def test_equal_influences_weigh_one(influences):
    weights = InfluenceWeights(influences('{"a": 2, "b": 2}'))
    assert of_images(weights, dict(img_id='a')) == [1.]


@pytest.mark.parametrize(
    'content',
    ['', '[1, 2]', '{}', '{"a": "much"}', '{"a": NaN}', '{"a": [1]}'])
def test_files_that_are_no_influences(influences, content):
    with pytest.raises(ConfigError, match='InfluenceWeights: .*for each'):
        InfluenceWeights(influences(content))


def test_building():
    assert build_cell_weights(None) is None
    assert build_cell_weights(len) is len
    with pytest.raises(
            ConfigError, match="cell_weights: there is no 'Nothing'"):
        build_cell_weights(dict(type='Nothing'))
    with pytest.raises(ConfigError, match='must be callable'):
        build_cell_weights(dict(type='collections.OrderedDict'))
