# The quick demo.
_base_ = 'deeplabv3plus_r18w8-d16_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/deeplabv3plus_r18w16-d16_scenes.py',
            ckpt='{{fileDirname}}/weights/deeplabv3plus_r18w16.safetensors')),
    distillers=dict(
        mgd=dict(
            type='MGD',
            student='backbone[0:4]',
            teacher='backbone[0:4]',
            # Of detectors: the demo was measured with it.
            mask_ratio=0.65),
        logits_kd=dict(type='LogitsKD')))
