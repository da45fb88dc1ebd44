_base_ = 'deeplabv3plus_r18w32-d16.py'
model = dict(
    backbone=dict(base_channels=16, stem_channels=16),
    decode_head=dict(
        in_channels=128, channels=32, c1_in_channels=16, c1_channels=16))
