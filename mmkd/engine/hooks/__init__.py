"""Hooks of a distillation run."""
from mmkd.engine.hooks.cache_hook import CacheHook
from mmkd.engine.hooks.checkpoint_hook import SafeCheckpointHook
from mmkd.engine.hooks.console_hook import ConsoleHook
from mmkd.engine.hooks.finite_loss_hook import FiniteLossHook
from mmkd.engine.hooks.gradient_share_hook import GradientShareHook
from mmkd.engine.hooks.inherit_hook import InheritTeacherHook
from mmkd.engine.hooks.self_check_hook import SelfCheckHook
from mmkd.engine.hooks.shares_hook import SharesHook
from mmkd.engine.hooks.statistics_hook import StatisticsHook
from mmkd.engine.hooks.student_ema_hook import StudentEMAHook
from mmkd.engine.hooks.visualization_hook import DistillationVisualizationHook
from mmkd.engine.resume.hook import ResumeHook

__all__ = [
    'CacheHook', 'ConsoleHook', 'DistillationVisualizationHook',
    'FiniteLossHook', 'GradientShareHook', 'InheritTeacherHook', 'ResumeHook',
    'SafeCheckpointHook', 'SelfCheckHook', 'SharesHook', 'StatisticsHook',
    'StudentEMAHook'
]
