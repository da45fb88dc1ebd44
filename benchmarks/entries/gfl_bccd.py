# Shared by the methods on BCCD: networks trained alone.
task = 'detection, BCCD'
metric = 'coco/bbox_mAP'
more_metrics = dict(AP50='coco/bbox_mAP_50')
scale = 100
real_data = 'bccd'
formats = []
data = {
    'train_dataloader.dataset.data_root': '{root}',
    'val_dataloader.dataset.data_root': '{root}',
    'test_dataloader.dataset.data_root': '{root}',
    'val_evaluator.ann_file': '{root}/annotations/val.json',
    'test_evaluator.ann_file': '{root}/annotations/test.json'
}
splits = dict(
    val={
        'test_dataloader.dataset.ann_file': 'annotations/val.json',
        'test_evaluator.ann_file': '{root}/annotations/val.json'
    },
    test={})
family = 'bccd_'
teacher = dict(
    config='configs/bccd/gfl_mobilenet-v2_fpn_bccd.py',
    iters=600,
    options={
        'model.backbone.init_cfg.checkpoint':
        '{root}/../weights/mobilenetv2_mmdet.pth'
    })
student = dict(config='configs/bccd/gfl_r18w8_fpn_bccd.py', iters=600)
# As many values for the student alone as for a method; half the iterations.
tuning_seed = 1000
tuning_iters = 300
student_grid = {'optim_wrapper.optimizer.lr': [2e-3, 5e-3, 1e-2]}
