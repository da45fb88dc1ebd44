# The student: the cameras of UniDistill's recipes with a residual branch.
_base_ = '../unidistill/bev-camera_8xb4-20e_nuscenes.py'
model = dict(
    img_bev_encoder=dict(
        type='mmkd.ResidualBranches', in_channels=256, out_channels=256))
