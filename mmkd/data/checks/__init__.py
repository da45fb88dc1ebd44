"""Finding broken data before training, from its index files.

Call :func:`check_datasets` with configs, or with data sets that were built.
"""
from mmkd.data.checks.datasets import check_dataset, check_datasets
from mmkd.data.checks.problems import Problem, raise_problems

__all__ = ['Problem', 'check_dataset', 'check_datasets', 'raise_problems']
