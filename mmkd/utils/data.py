"""Reading a data set beside the training that it serves."""
import copy
from typing import Any


def own_pipeline(dataset: Any) -> Any:
    """The same data behind transforms of its own, which may keep caches.

    Args:
        dataset (Dataset): A data set of mmengine's kind, or a wrapper of one
            or several.

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
