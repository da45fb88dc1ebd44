"""Data sets around data sets."""
import copy
from typing import Any


def own_pipeline(dataset: Any) -> Any:
    """Copy a data set with its own transforms, since these may have caches.

    Args:
        dataset (Dataset): A data set of mmengine, or a wrapper of one or
            several.

    Returns:
        Dataset: A shallow copy; records and files are shared.
    """
    dataset = copy.copy(dataset)
    if hasattr(dataset, 'pipeline'):
        dataset.pipeline = copy.deepcopy(dataset.pipeline)
    if hasattr(dataset, 'datasets'):
        dataset.datasets = [own_pipeline(part) for part in dataset.datasets]
    elif hasattr(dataset, 'dataset'):
        dataset.dataset = own_pipeline(dataset.dataset)
    return dataset


class DatasetWrapper:
    """Base class of a data set that changes the items of another.

    All attributes but its own are those of the other one, which hooks may
    set, to switch the pipeline for instance.

    Args:
        dataset (Dataset): The other data set.
        own: Attributes of the wrapper.
    """

    def __init__(self, dataset: Any, **own: Any) -> None:
        self.__dict__.update(dataset=dataset, **own)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        # Those that go through the parts of a data set find these there.
        if name in ('dataset', 'datasets', 'pipeline') or name[:2] == '__':
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__:
            self.__dict__[name] = value
        else:
            setattr(self.dataset, name, value)
