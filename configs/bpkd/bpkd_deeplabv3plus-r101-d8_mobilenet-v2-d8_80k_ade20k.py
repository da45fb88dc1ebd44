# DeepLabV3+, R101 to MobileNetV2, on ADE20K.
# Teacher 45.47, student 31.56, BPKD 35.49 mIoU (the authors' figures).
# Batch 4 x 4 as in mmseg; the authors' evaluation configs say 2 a GPU.
_base_ = '_base_/mobilenet-v2-d8_deeplabv3plus_4xb4-80k_ade20k-512x512.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            # By its address: mmseg 1.2.2's index lists the weights of 80k
            # steps under this config too, and first.
            cfg='mmseg::deeplabv3plus/'
            'deeplabv3plus_r101-d8_4xb4-160k_ade20k-512x512.py',
            ckpt='https://download.openmmlab.com/mmsegmentation/v0.5/'
            'deeplabv3plus/deeplabv3plus_r101-d8_512x512_160k_ade20k/'
            'deeplabv3plus_r101-d8_512x512_160k_ade20k_'
            '20200615_123232-38ed86bb.pth')),
    distillers=dict(bpkd=dict(type='BPKD')))
