# PSPNet R101 to DeepLabV3 R18, on Cityscapes, in crops of 512x512.
# Student 73.20, MGD 76.02 mIoU (the paper's abstract; 76.31 in its repository),
# with CWD on the logits.
_base_ = './_base_/deeplabv3_r18-d8_8xb2-40k_cityscapes-512x512.py'
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
