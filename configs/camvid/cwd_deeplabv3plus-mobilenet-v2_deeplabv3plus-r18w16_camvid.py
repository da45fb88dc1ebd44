_base_ = '_base_/deeplabv3plus-mobilenet-v2_deeplabv3plus-r18w16.py'
model = dict(
    distillers=dict(
        cwd=dict(type='CWD', loss_weight=dict(type='auto', ratio=1.))))
