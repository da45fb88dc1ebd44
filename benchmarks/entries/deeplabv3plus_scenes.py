# What the segmentation methods share: teacher and student alone.
task = 'segmentation'
metric = 'mIoU'
boundary_metric = 'mBIoU'
preset = 'bench'
teacher = dict(
    config='configs/demo/deeplabv3plus_r18w32-d16_scenes.py', iters=1000)
student = dict(
    config='configs/demo/deeplabv3plus_r18w8-d16_scenes.py', iters=600)
# Tried on the validation scenes, with a seed of its own, before the seeds
# that are reported: as many values for the student alone as for a method.
tuning_seed = 1000
student_grid = {'optim_wrapper.optimizer.lr': [5e-3, 1e-2]}
