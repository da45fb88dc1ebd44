_base_ = 'segformer_scenes.py'
method = 'transkd'
distilled = dict(
    config='configs/demo/transkd_segformer-mit-w32_segformer-mit-w16_scenes.py'
)
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.transkd.loss_weight': [0.3, 1.0]}
