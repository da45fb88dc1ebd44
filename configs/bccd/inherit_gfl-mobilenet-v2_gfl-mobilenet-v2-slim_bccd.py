# The student starts from the leading channels of the teacher, and then trains
# alone.
_base_ = '_base_/gfl-mobilenet-v2_gfl-mobilenet-v2-slim.py'
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
