"""Registries of mmkd: children of mmengine's, and ``DISTILLERS``.

A class is imported when its name is first looked up (``locations``), so
nothing has to be imported up front.
"""
from importlib import import_module
from typing import Any, Dict, Optional, Type

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import \
    OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry


class LazyRegistry(Registry):
    """A registry that imports some modules only for specific classes.

    Args:
        *args: Arguments of mmengine's class.
        lazy (dict[str, str]): Modules by class name. A module is imported
            only when this name is looked up.
        **kwargs: Arguments of mmengine's class.
    """

    def __init__(self, *args: Any, lazy: Dict[str, str],
                 **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy

    def add_lazy(self, module: str, *names: str) -> None:
        """Declare classes of a module that is not imported yet.

        A method calls this in its ``__init__.py`` for modules whose import
        is slow or needs an optional library.

        Args:
            module (str): Dotted name of the module.
            names (str): Classes that its import registers.
        """
        self._lazy.update(dict.fromkeys(names, module))

    def get(self, key: str) -> Optional[Type]:
        """Return the class of a name, or None; see mmengine's class."""
        self.import_from_location()
        scope, name = self.split_scope_key(key)
        if scope in (None, self.scope) and name in self._lazy:
            import_module(self._lazy[name])
        return super().get(key)


# The models that a runner trains, and connectors.
MODELS = LazyRegistry(
    'model',
    parent=MMENGINE_MODELS,
    scope='mmkd',
    locations=[
        'mmkd.core', 'mmkd.ops.connectors', 'mmkd.ops.generation',
        'mmkd.methods'
    ],
    lazy=dict(
        BEVDetector='mmkd.bev.detector',  # mmdet3d
        ConvFuser='mmkd.bev',
        LSSViewTransform='mmkd.bev',
        SamplingViewTransform='mmkd.bev',
        SparseEncoder='mmkd.bev.sparse_encoder',
        TimmNetwork='mmkd.families.foundation.timm_network',  # timm
        HFNetwork='mmkd.families.foundation.hf_network',  # transformers
        FactoryNetwork='mmkd.families.foundation.factory',
        ExportedNetwork='mmkd.families.foundation.files',
        TorchScriptNetwork='mmkd.families.foundation.files',
        OnnxNetwork='mmkd.families.foundation.files'))

HOOKS = Registry(
    'hook',
    parent=MMENGINE_HOOKS,
    scope='mmkd',
    locations=['mmkd.engine.hooks'])

METRICS = LazyRegistry(
    'metric',
    parent=MMENGINE_METRICS,
    scope='mmkd',
    locations=['mmkd.evaluation'],
    lazy=dict(  # mmdet3d
        KittiByPoints='mmkd.evaluation.kitti_by_points',
        KittiMetric='mmkd.evaluation.kitti_metric',
        NuScenesByPoints='mmkd.evaluation.nuscenes_by_points'))

TRANSFORMS = LazyRegistry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    scope='mmkd',
    locations=['mmkd.data', 'mmkd.methods'],
    lazy=dict(  # of several sensors: mmdet3d
        BEVAug3D='mmkd.data.multi_view',
        ImageAug3D='mmkd.data.multi_view',
        LoadImage='mmkd.data.image_folder',
        LoadMultiViewImages='mmkd.data.multi_view',
        PackBEVInputs='mmkd.data.multi_view',
        TorchVision='mmkd.data.augmentation'))

DATASETS = LazyRegistry(
    'dataset',
    parent=MMENGINE_DATASETS,
    scope='mmkd',
    locations=['mmkd.data'],
    lazy=dict(
        ImageFolder='mmkd.data.image_folder', MixedDataset='mmkd.data.mixed'))

FUNCTIONS = LazyRegistry(
    'function',
    parent=MMENGINE_FUNCTIONS,
    scope='mmkd',
    locations=['mmkd.data'],
    lazy=dict(mixup_collate='mmkd.data.augmentation'))

DATA_SAMPLERS = LazyRegistry(
    'data sampler',
    parent=MMENGINE_DATA_SAMPLERS,
    scope='mmkd',
    locations=['mmkd.data'],
    lazy=dict(MixedBatchSampler='mmkd.data.mixed'))

OPTIM_WRAPPERS = Registry(
    'optim_wrapper',
    parent=MMENGINE_OPTIM_WRAPPERS,
    scope='mmkd',
    locations=['mmkd.engine.optim'])

OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='mmkd',
    locations=['mmkd.engine.optim'])

# One class per distillation method.
DISTILLERS = Registry('distiller', scope='mmkd', locations=['mmkd.methods'])

# Helpers of methods that a config chooses.
TASK_UTILS = Registry(
    'task util',
    parent=MMENGINE_TASK_UTILS,
    scope='mmkd',
    locations=['mmkd.methods'])
