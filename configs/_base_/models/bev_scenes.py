# The encoder that all detectors in bird's-eye view share on the scenes. A
# sensor's part gives it 32 channels; the head gets 64.
norm_cfg = dict(type='BN', eps=1e-3, momentum=0.05)
model = dict(
    type='mmkd.BEVDetector',
    data_preprocessor=dict(type='Det3DDataPreprocessor'),
    bev_backbone=dict(
        type='SECOND',
        in_channels=32,
        out_channels=[32, 64],
        layer_nums=[1, 2],
        layer_strides=[1, 2],
        norm_cfg=norm_cfg),
    bev_neck=dict(
        type='SECONDFPN',
        in_channels=[32, 64],
        out_channels=[32, 32],
        upsample_strides=[1, 2],
        norm_cfg=norm_cfg,
        upsample_cfg=dict(type='deconv', bias=False)))
