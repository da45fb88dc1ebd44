from mmkd.evaluation import HeldOutLosses


def test_means_over_the_batches():
    metric = HeldOutLosses()
    metric.process({}, [dict(loss=1., cost=4.)])
    metric.process({}, [dict(loss=3., cost=0.)])
    assert metric.evaluate(2) == dict(loss=2., cost=2.)
