# How much is the teacher, and how much are its ImageNet weights? This one has
# hardly been trained on BCCD.
_base_ = 'bccd_slim_inherit.py'
method = 'bccd_slim_imagenet'
label = 'ImageNet weights, narrowed'
teacher_family = 'bccd_imagenet_'
teacher = dict(iters=2)
