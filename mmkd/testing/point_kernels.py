"""Stand-ins for operators of mmcv that have no code for CPUs."""
from typing import Callable, Dict

#: By the name of the function in ``mmcv._ext``.
KERNELS: Dict[str, Callable] = {}
