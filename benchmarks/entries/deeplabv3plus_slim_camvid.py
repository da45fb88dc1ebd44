# The student that has the teacher's layers.
_base_ = 'deeplabv3plus_camvid.py'
family = 'camvid_slim_'
teacher_family = 'camvid_'
student = dict(
    config='configs/camvid/deeplabv3plus_mobilenet-v2-slim-d16_camvid.py')
