"""Mixed precision without a GPU."""
from contextlib import contextmanager
from typing import Iterator

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from mmkd.ops.operators import autocast
from mmkd.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Run the forward pass in bfloat16 on a CPU.

    mmengine's ``AmpOptimWrapper`` requires a GPU. bfloat16 has the range of
    float32, so no loss scaling is needed.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Context of the forward pass."""
        with super().optim_context(model), autocast('cpu', torch.bfloat16):
            yield
