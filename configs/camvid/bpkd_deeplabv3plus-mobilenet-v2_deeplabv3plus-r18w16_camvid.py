_base_ = '_base_/deeplabv3plus-mobilenet-v2_deeplabv3plus-r18w16.py'
model = dict(
    distillers=dict(
        bpkd=dict(
            type='BPKD',
            weights=dict(edge=0.05, body=2.0),
            loss_weight=dict(type='auto', ratio=1.))))
