# PSPNet, R101 to R18, on Cityscapes, in crops of 512x512.
# Student 69.85, MGD 73.63 mIoU (the authors' figures), with CWD on the logits.
_base_ = './_base_/pspnet_r18-d8_8xb2-40k_cityscapes-512x512.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmseg::pspnet/pspnet_r101-d8_4xb2-40k_cityscapes-512x1024.py',
            ckpt='official')),
    distillers=dict(
        mgd=dict(
            type='MGD',
            preset='segmentation',
            student='backbone[3]',
            teacher='backbone[3]'),
        cwd=dict(type='CWD', tau=4.0, loss_weight=3.0)))
