# HRNet-W18s on Pascal Context: mmseg's recipe, evaluated in windows of 512
# pixels as by the authors of BPKD.
_base_ = 'mmseg::hrnet/fcn_hr18s_4xb4-80k_pascal-context-59-480x480.py'
model = dict(test_cfg=dict(crop_size=(512, 512)))
