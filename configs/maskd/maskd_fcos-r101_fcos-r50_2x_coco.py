# FCOS, R101 to R50, on COCO.
# Teacher 40.8, student 38.5, MasKD 42.9 mAP (the authors' figures).
_base_ = 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_ms-640-800-2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::fcos/fcos_r101-caffe_fpn_gn-head_ms-640-800-2x_coco.py',
            ckpt='official')),
    distillers=dict(
        maskd=dict(
            type='MasKD',
            masks='checkpoints/maskd-tokens_fcos-r101_2k_coco.pth')))
