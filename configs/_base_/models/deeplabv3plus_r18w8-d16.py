_base_ = 'deeplabv3plus_r18w32-d16.py'
model = dict(
    backbone=dict(base_channels=8, stem_channels=8),
    decode_head=dict(
        in_channels=64, channels=16, c1_in_channels=8, c1_channels=8))
