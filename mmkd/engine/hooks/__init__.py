"""Hooks of a distillation run."""
from mmkd.engine.hooks.inherit_hook import InheritTeacherHook
from mmkd.engine.hooks.self_check_hook import SelfCheckHook
from mmkd.engine.hooks.student_ema_hook import StudentEMAHook

__all__ = ['InheritTeacherHook', 'SelfCheckHook', 'StudentEMAHook']
