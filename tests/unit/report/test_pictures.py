import base64
import io

from PIL import Image

from mmkd.report.evaluation import Cost, Evaluation, evaluate
from mmkd.report.pictures import choose, rows
from mmkd.report.runs import read_run


def scores(*values):
    return Evaluation({}, {}, {}, dict(enumerate(values)),
                      Cost(1, None, 1., None))


def test_gains_and_losses_are_shown():
    base, other = scores(*[.5] * 8), scores(.9, .8, .7, .6, .5, .4, .3, .2)
    assert choose(base, other, 4) == [0, 1, 2, 7]
    assert choose(base, scores(.6, .7), 4) == [1, 0]


def test_rows(runs):
    networks = {
        name: evaluate(run.config, run.checkpoint)
        for name, run in zip(('alone', 'CWD'), map(read_run, runs))
    }
    found = rows(networks, 1)
    assert len(found) == 1 and found[0].name.startswith('tinytown')
    assert list(found[0].panels) == ['image', 'truth', 'alone', 'CWD']
    kind, data = found[0].panels['truth'].split(',')
    assert kind == 'data:image/jpeg;base64'
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (64, 32)
    assert rows({'a': scores(1), 'b': scores(1)}, 1) == []
