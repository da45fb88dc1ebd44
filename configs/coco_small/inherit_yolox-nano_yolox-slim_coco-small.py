# The student starts from the leading channels of the teacher's neck and head
# too, and then trains alone.
_base_ = '_base_/yolox-nano_yolox-slim.py'
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
