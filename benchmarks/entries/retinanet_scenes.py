# Shared by the methods for RetinaNet: teacher and student alone.
task = 'detection'
metric = 'coco/bbox_mAP'
more_metrics = dict(AP50='coco/bbox_mAP_50')
scale = 100
family = 'retinanet_'
formats = ['cityscapes', 'coco']
data = {
    'train_dataloader.dataset.data_root': '{root}',
    'val_dataloader.dataset.data_root': '{root}',
    'test_dataloader.dataset.data_root': '{root}',
    'val_evaluator.ann_file': '{root}/annotations/instances_val.json',
    'test_evaluator.ann_file': '{root}/annotations/instances_test.json'
}
splits = dict(
    val={
        'test_dataloader.dataset.ann_file': 'annotations/instances_val.json',
        'test_evaluator.ann_file': '{root}/annotations/instances_val.json'
    },
    test={})
teacher = dict(
    config='configs/demo/retinanet_r18w32_fpn_scenes.py', iters=1000)
student = dict(config='configs/demo/retinanet_r18w8_fpn_scenes.py', iters=1000)
# Tried on the validation scenes, with a seed of its own, before the seeds
# that are reported: as many values for the student alone as for a method.
tuning_seed = 1000
tuning_iters = 500
student_grid = {'optim_wrapper.optimizer.lr': [2e-3, 5e-3]}
