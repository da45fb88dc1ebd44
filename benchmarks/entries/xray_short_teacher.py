# With a teacher that was trained no longer than the students.
_base_ = 'xray.py'
method = 'xray_short_teacher'
teacher_family = 'xray_short_'
teacher = dict(iters=800)
