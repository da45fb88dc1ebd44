"""Reading a data set independently of the training loader."""
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
