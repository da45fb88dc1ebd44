# The losses of X-Ray alone: both networks see the same scans. Single scans
# have no tracks, from which `mmkd complete` makes object-complete frames.
_base_ = '_base_/pointpillars-w32_pointpillars-w8.py'
model = dict(
    distillers=dict(
        xray=dict(type='XRay', loss_weight=dict(type='auto', ratio=1.))))
