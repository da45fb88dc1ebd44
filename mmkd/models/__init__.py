"""The distillation model and its parts."""
from mmkd.models.distillation_model import DistillationModel
from mmkd.models.teacher import Teacher

__all__ = ['DistillationModel', 'Teacher']
