# Stage 1 of MasKD: receptive tokens of Cascade Mask R-CNN X101-64x4d, on COCO
# with instance masks.
_base_ = ['mmdet::_base_/datasets/coco_instance.py', 'tokens_2k.py']
model = dict(
    type='mmkd.RewritingModel',
    teacher=dict(
        cfg='mmdet::cascade_rcnn/'
        'cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py',
        ckpt='official'),
    rewriter=dict(type='mmkd.ReceptiveTokens'))
optim_wrapper = dict(optimizer=dict(weight_decay=0.1))
