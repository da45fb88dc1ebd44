# Shared by the segmentation methods: teacher and student alone.
task = 'segmentation'
metric = 'mIoU'
more_metrics = dict(boundary='mBIoU')
formats = ['cityscapes', 'coco']
data = {
    'train_dataloader.dataset.data_root': '{root}',
    'val_dataloader.dataset.data_root': '{root}',
    'test_dataloader.dataset.data_root': '{root}'
}
splits = dict(
    val={
        'test_dataloader.dataset.data_prefix.img_path': 'leftImg8bit/val',
        'test_dataloader.dataset.data_prefix.seg_map_path': 'gtFine/val'
    },
    test={})
teacher = dict(
    config='configs/demo/deeplabv3plus_r18w32-d16_scenes.py', iters=1500)
student = dict(
    config='configs/demo/deeplabv3plus_r18w8-d16_scenes.py', iters=600)
# Tried on the validation scenes, with a seed of its own, before the seeds
# that are reported: as many values for the student alone as for a method.
tuning_seed = 1000
student_grid = {'optim_wrapper.optimizer.lr': [5e-3, 1e-2]}
