_base_ = '_base_/gfl-mobilenet-v2_gfl-r18w8.py'
model = dict(
    distillers=dict(
        pkd=dict(
            type='PKD',
            connector='auto',
            loss_weight=dict(type='auto', ratio=1.))))
