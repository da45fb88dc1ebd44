# CIRKD: SegFormer, B4 to B0, on Cityscapes.
# Teacher 81.23, student 75.58, CIRKD 76.92 mIoU (the authors' figures).
# At stride 4 a crop has 65,536 cells; the term `batch` averages 2x2 of them.
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::segformer/'
            'segformer_mit-b4_8xb1-160k_cityscapes-1024x1024.py',
            ckpt='official')),
    distillers=dict(
        kd=dict(type='LogitsKD'),
        cirkd=dict(
            type='CIRKD',
            pixel_queue=2000,
            pool=2,
            norm_cfg=dict(type='SyncBN'))))
# The authors' rate and power. Of mmseg's schedule, their settings name neither
# the warm-up nor the tenfold rate of the head.
optim_wrapper = dict(
    optimizer=dict(lr=2e-4),
    paramwise_cfg=dict(custom_keys=dict(head=dict(lr_mult=1.))))
param_scheduler = [
    dict(
        type='PolyLR',
        eta_min=0,
        power=0.9,
        begin=0,
        end=160000,
        by_epoch=False)
]
