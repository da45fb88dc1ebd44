# The PVTv2 teacher on Cityscapes, which has no public weights in mmseg; train
# it first.
_base_ = 'fpn_pvtv2-b0-scratch_8xb1-160k_cityscapes-1024x1024.py'
model = dict(
    backbone=dict(
        embed_dims=64,
        num_layers=[3, 4, 6, 3],
        init_cfg=dict(
            _delete_=True,
            checkpoint='https://github.com/whai362/PVT/'
            'releases/download/v2/pvt_v2_b2.pth')),
    neck=dict(in_channels=[64, 128, 320, 512]))
