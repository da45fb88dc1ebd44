"""Optimisers for the student, as in its own recipe, and for connectors."""
from typing import Optional

from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.registry import \
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_CONSTRUCTORS
from torch import nn

from mmkd.errors import ConfigError
from mmkd.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DistillationOptimWrapperConstructor:
    """Pass only the student to its own optimiser constructor.

    Constructors with layer-wise rates read parameter names, which must be
    those of plain training. The distillers' parameters are added as another
    group with the optimiser's default learning rate and weight decay.

    Args:
        optim_wrapper_cfg (dict): As in mmengine; ``student_constructor``
            names the constructor of the student's recipe.
        paramwise_cfg (dict, optional): Passed to that constructor. Defaults
            to None.
    """

    def __init__(self,
                 optim_wrapper_cfg: dict,
                 paramwise_cfg: Optional[dict] = None) -> None:
        optim_wrapper_cfg = dict(optim_wrapper_cfg)
        self.constructor = MMENGINE_CONSTRUCTORS.build(
            dict(
                type=optim_wrapper_cfg.pop('student_constructor',
                                           'DefaultOptimWrapperConstructor'),
                optim_wrapper_cfg=optim_wrapper_cfg,
                paramwise_cfg=paramwise_cfg))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper for a :class:`DistillationModel`.

        Raises:
            ConfigError: If the student has several optimisers and the
                distillers have parameters.
        """
        if is_model_wrapper(model):
            model = model.module
        wrapper = self.constructor(model.student)
        parameters = [
            p for p in model.distillers.parameters() if p.requires_grad
        ]
        if parameters:
            if not isinstance(wrapper, OptimWrapper):
                raise ConfigError(
                    'the student has several optimisers; which of them is to '
                    'train the connectors is not known')
            wrapper.optimizer.add_param_group(dict(params=parameters))
        return wrapper
