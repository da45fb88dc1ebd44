# The teacher's network with half of the channels, from scratch; 0.7 M
# parameters.
_base_ = 'deeplabv3plus_mobilenet-v2-d16_camvid.py'
model = dict(
    backbone=dict(widen_factor=0.5, init_cfg=None),
    decode_head=dict(
        in_channels=160, channels=64, c1_in_channels=16, c1_channels=16))
optim_wrapper = dict(optimizer=dict(lr=5e-3))
