# DINOv2 ViT-S to RetinaNet R50, on COCO. Fetch the teacher's weights first:
# docs/foundation.md. We have not trained it.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg=dict(
                type='mmkd.TimmNetwork',
                name='vit_small_patch14_dinov2.lvd142m',
                size=dict(stride=32)),
            ckpt='dinov2/model.safetensors')),
    distillers=dict(similarity_kd=dict(type='SimilarityKD')))
