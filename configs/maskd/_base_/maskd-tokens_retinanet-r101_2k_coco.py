# Stage 1 of MasKD: receptive tokens of RetinaNet R101, on COCO.
_base_ = ['mmdet::_base_/datasets/coco_detection.py', 'tokens_2k.py']
model = dict(
    type='mmkd.RewritingModel',
    teacher=dict(
        cfg='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py', ckpt='official'),
    rewriter=dict(type='mmkd.ReceptiveTokens'))
