# Four times as long: does the gain last?
_base_ = 'inherit_segmentation.py'
method = 'inherit_segmentation_long'
label = "Teacher's weights, narrowed, 2400 iterations"
family = 'long_'
teacher_family = ''
student = dict(iters=2400)
tuning_iters = 600
