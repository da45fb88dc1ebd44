# RetinaNet, X101-64x4d to R50, on COCO.
# MasKD 41.0 mAP, student 37.4 (the authors' figures). Their teacher with 41.0
# is another than that of their config, which is the one below.
_base_ = './maskd_retinanet-r101_retinanet-r50_2x_coco.py'
model = dict(
    teachers=dict(
        teacher=dict(cfg='mmdet::retinanet/'
                     'retinanet_x101-64x4d_fpn_ms-640-800-3x_coco.py')),
    distillers=dict(
        maskd=dict(
            masks='checkpoints/maskd-tokens_retinanet-x101_2k_coco.pth',
            warmup=8500,
            box_loss='smooth_l1')))
