_base_ = 'deeplabv3plus_scenes.py'
method = 'acam_segmentation'
distilled = dict(
    config='configs/demo/'
    'acam_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py',
    options={
        # With the published settings, the masks of this pair go from 0.5 to
        # 1e-7 in 30 iterations.
        'model.distillers.acam.stabilise': True,
        # Helps more here than the class maps (docs/methods/acam.md).
        'model.distillers.acam.place': 'stages'
    })
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.acam.loss_weight': [0.3, 1.0]}
