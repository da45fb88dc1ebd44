# Shared by the methods on a small part of COCO, with a teacher that is
# trained on all of it, and a student that starts from its backbone.
task = 'detection, part of COCO'
metric = 'coco/bbox_mAP'
more_metrics = dict(AP50='coco/bbox_mAP_50')
scale = 100
real_data = 'coco_small'
formats = []
data = {
    'train_dataloader.dataset.data_root': '{root}',
    'val_dataloader.dataset.data_root': '{root}',
    'test_dataloader.dataset.data_root': '{root}'
}
splits = dict(val={'test_dataloader.dataset.indices': 103}, test={})
family = 'coco_slim_'
teacher = dict(
    config='configs/coco_small/yolox_nano_coco-small.py',
    weights='{root}/../weights/yolox_nano_mmdet.pth')
student = dict(
    config='configs/coco_small/yolox-slim_coco-small.py',
    iters=3000,
    options={
        'model.backbone.init_cfg.checkpoint':
        '{root}/../weights/yolox_nano_mmdet.pth'
    })
# As many values for the student alone as for a method; half the iterations.
tuning_seed = 1000
tuning_iters = 1500
student_grid = {'optim_wrapper.optimizer.lr': [2e-3, 5e-3, 1e-2]}
