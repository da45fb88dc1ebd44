# With a teacher trained only as long as the students.
_base_ = 'xray.py'
method = 'xray_short_teacher'
label = 'X-Ray, short teacher'
teacher_family = 'xray_short_'
teacher = dict(iters=800)
