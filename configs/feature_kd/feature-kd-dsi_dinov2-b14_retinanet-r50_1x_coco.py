# The loss of RT-DETRv4's deep semantic injector, on RetinaNet R50 and COCO.
# RT-DETRv4 itself taps the encoder's output of stride 32. We have not trained
# it.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg=dict(
                type='mmkd.TimmNetwork',
                name='vit_base_patch14_dinov2.lvd142m',
                size=dict(stride=32)),
            ckpt='dinov2/model.safetensors')),
    distillers=dict(
        dsi=dict(
            type='FeatureKD',
            preset='dsi',
            student='backbone[-1]',
            loss_weight='auto')))
