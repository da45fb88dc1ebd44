"""mmcv's operators in mixed precision."""
from functools import lru_cache

import torch
from torch.autograd import Function


@lru_cache(None)
def use_float32_operators() -> None:
    """Let mmcv's operators compute in float32 where autocast is on on a CPU.

    Of these, NMS and RoIAlign among them, none has a kernel for bfloat16
    there. Their inputs are cast; gradients return in the type of the inputs.
    """
    try:
        import mmcv.ops  # noqa: F401
    except ImportError:  # mmcv-lite has none
        return
    for operator in Function.__subclasses__():
        if operator.__module__.startswith('mmcv.ops.'):
            operator.forward = staticmethod(
                torch.amp.custom_fwd(
                    operator.forward,
                    device_type='cpu',
                    cast_inputs=torch.float32))
