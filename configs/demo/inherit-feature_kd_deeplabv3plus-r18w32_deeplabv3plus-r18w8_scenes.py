# The student starts from the leading channels of the teacher.
_base_ = 'feature_kd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py'
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
