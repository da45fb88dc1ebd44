"""Checking a run before it trains.

- :mod:`~mmkd.engine.checks.fast` precedes every training; ``checks=False`` in
  the config switches it off.
- :mod:`~mmkd.engine.checks.report` is ``mmkd check``.
"""
from mmkd.engine.checks.fast import check_batches, check_parts, check_settings

__all__ = ['check_batches', 'check_parts', 'check_settings']
