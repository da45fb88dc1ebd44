_base_ = 'retinanet_scenes.py'
method = 'maskd'
# Tokens of the teacher come first.
first_stages = {
    'model.distillers.maskd.masks':
    dict(
        config='configs/demo/maskd-tokens_retinanet-r18w32_scenes.py',
        iters=200)
}
distilled = dict(config='configs/demo/maskd'
                 '_retinanet-r18w32_retinanet-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.maskd.loss_weight': [0.3, 1.0]}
