_base_ = '_base_/deeplabv3plus-mobilenet-v2_deeplabv3plus-r18w16.py'
model = dict(
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/deeplabv3plus_r18w16-d16-label_camvid.py',
            ckpt='work_dirs/deeplabv3plus_r18w16-d16-label_camvid/'
            'iter_600.pth')),
    distillers=dict(
        cwd=dict(type='CWD', loss_weight=dict(type='auto', ratio=1.))))
