# CWD on the logits of PSPNet, R101 to R18, on Cityscapes.
_base_ = 'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::pspnet/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024.py',
            ckpt='official')),
    distillers=dict(cwd=dict(type='CWD', tau=4.0, loss_weight=3.0)))
