# How much is the teacher, and how much are its ImageNet weights? This one has
# hardly been trained on CamVid.
_base_ = 'camvid_slim_inherit.py'
method = 'camvid_slim_imagenet'
label = 'ImageNet weights, narrowed'
teacher_family = 'camvid_imagenet_'
teacher = dict(iters=2)
