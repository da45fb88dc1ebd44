# The student that has the teacher's layers.
_base_ = 'gfl_bccd.py'
family = 'bccd_slim_'
teacher_family = 'bccd_'
student = dict(config='configs/bccd/gfl_mobilenet-v2-slim_fpn_bccd.py')
