from mmkd.utils.data import own_pipeline


def test_own_pipeline():

    class Data:

        def __init__(self, **kwargs):
            self.__dict__.update(kwargs)

    inner = Data(pipeline=[[]], images=[1])
    for wrapped in (Data(dataset=inner), Data(datasets=[inner])):
        copied = own_pipeline(wrapped)
        part = copied.datasets[0] if hasattr(copied,
                                             'datasets') else copied.dataset
        part.pipeline[0].append(1)
        assert inner.pipeline == [[]] and part.images is inner.images
