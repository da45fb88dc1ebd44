# Shared by the methods on CamVid: networks trained alone.
task = 'segmentation, CamVid'
metric = 'mIoU'
more_metrics = dict(boundary='mBIoU')
real_data = 'camvid'
formats = []
data = {
    'train_dataloader.dataset.data_root': '{root}',
    'val_dataloader.dataset.data_root': '{root}',
    'test_dataloader.dataset.data_root': '{root}'
}
splits = dict(
    val={
        'test_dataloader.dataset.data_prefix.img_path': 'img_dir/val',
        'test_dataloader.dataset.data_prefix.seg_map_path': 'ann_dir/val'
    },
    test={})
family = 'camvid_'
teacher = dict(
    config='configs/camvid/deeplabv3plus_mobilenet-v2-d16_camvid.py',
    iters=2000,
    options={
        'model.backbone.init_cfg.checkpoint':
        '{root}/../weights/mobilenetv2_mmseg.pth'
    })
student = dict(
    config='configs/camvid/deeplabv3plus_r18w16-d16_camvid.py', iters=1500)
# As many values for the student alone as for a method; a third of the
# iterations.
tuning_seed = 1000
tuning_iters = 500
student_grid = {'optim_wrapper.optimizer.lr': [2e-3, 5e-3, 1e-2]}
