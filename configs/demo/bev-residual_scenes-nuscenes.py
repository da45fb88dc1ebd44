# The student of MonoTAKD: bev-camera with a residual branch.
_base_ = 'bev-camera_scenes-nuscenes.py'
model = dict(
    img_bev_encoder=dict(
        type='mmkd.ResidualBranches',
        in_channels=32,
        out_channels=32,
        alignment=dict(hidden_channels=16)))
