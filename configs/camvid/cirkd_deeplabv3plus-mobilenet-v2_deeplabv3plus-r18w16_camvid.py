_base_ = '_base_/deeplabv3plus-mobilenet-v2_deeplabv3plus-r18w16.py'
# Fewer vectors and larger cells than the paper's, as on the scenes, for a step
# that CPUs can take.
model = dict(
    distillers=dict(
        kd=dict(type='LogitsKD'),
        cirkd=dict(
            type='CIRKD',
            pixel_queue=2000,
            region_queue=200,
            pixel_keys=256,
            region_keys=64,
            pool=4,
            loss_weight=dict(type='auto', ratio=1.))))
