# Stage 1 of MasKD: receptive tokens of RetinaNet X101-64x4d, on COCO.
_base_ = './maskd-tokens_retinanet-r101_2k_coco.py'
model = dict(
    teacher=dict(cfg='mmdet::retinanet/'
                 'retinanet_x101-64x4d_fpn_ms-640-800-3x_coco.py'))
