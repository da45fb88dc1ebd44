# Shared by the methods on BCCD with few labels: every tenth training image,
# 21 of 205, has labels. The teacher learns from the same ones.
_base_ = 'gfl_bccd.py'
task = 'detection, BCCD, few labels'
family = 'bccd_few_'
data = {'train_dataloader.dataset.indices': list(range(0, 205, 10))}
teacher = dict(iters=2500, options={'optim_wrapper.optimizer.lr': 2e-3})
student = dict(iters=2000)
tuning_iters = 1000
student_grid = {'_delete_': True, 'optim_wrapper.optimizer.lr': [5e-3, 1e-2]}
