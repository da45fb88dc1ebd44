"""Exact resuming: a resumed run ends bit for bit as an uninterrupted one.

- ``loader``: a data loader whose position and RNG states can be saved.
- ``memory``: finds transforms that remember earlier samples, which a saved
  position does not cover.
- ``state``: what a checkpoint stores of each process, beside mmengine's.
- ``hook``: keeps validation from changing that state.

:class:`~mmkd.engine.runner.DistillationRunner` puts them together.
"""
