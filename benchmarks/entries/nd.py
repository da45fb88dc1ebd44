_base_ = 'faster_rcnn_scenes.py'
method = 'nd'
distilled = dict(
    config='configs/demo/nd_faster-rcnn-r18w32_faster-rcnn-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.nd.loss_weight': [0.3, 1.0]}
