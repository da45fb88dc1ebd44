"""Optimisation of a distillation run."""
from mmkd.engine.optim.constructor import DistillationOptimWrapperConstructor
from mmkd.engine.optim.cpu_amp import CPUAmpOptimWrapper

__all__ = ['CPUAmpOptimWrapper', 'DistillationOptimWrapperConstructor']
