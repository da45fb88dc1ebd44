_base_ = 'retinanet_scenes.py'
method = 'acam'
distilled = dict(
    config='configs/demo/acam_retinanet-r18w32_retinanet-r18w8_scenes.py',
    # With the published settings, three of four masks of the coarsest level
    # are # dead after 80 iterations.
    options={'model.distillers.acam.stabilise': True})
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.acam.loss_weight': [0.3, 1.0]}
