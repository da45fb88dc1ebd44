# Shared by the methods between transformers: teacher and student alone.
_base_ = 'deeplabv3plus_scenes.py'
family = 'segformer_'
teacher = dict(config='configs/demo/segformer_mit-w32_scenes.py', iters=1500)
student = dict(config='configs/demo/segformer_mit-w16_scenes.py', iters=600)
student_grid = {'optim_wrapper.optimizer.lr': [2e-3, 4e-3]}
