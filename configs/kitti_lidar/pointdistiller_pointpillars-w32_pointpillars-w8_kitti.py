_base_ = '_base_/pointpillars-w32_pointpillars-w8.py'
model = dict(
    distillers=dict(
        pointdistiller=dict(
            type='PointDistiller',
            preset='pointpillars',
            num_centres=1500,
            num_neighbours=32,
            loss_weight=dict(type='auto', ratio=1.))))
