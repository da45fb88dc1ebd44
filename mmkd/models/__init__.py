"""The distillation model and its parts."""
from mmkd.models.distillation_model import DistillationModel
from mmkd.models.teacher import Teacher
from mmkd.models.thinning import thin

__all__ = ['DistillationModel', 'Teacher', 'thin']
