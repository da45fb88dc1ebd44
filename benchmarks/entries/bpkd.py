_base_ = 'deeplabv3plus_scenes.py'
method = 'bpkd'
distilled = dict(
    config='configs/demo/'
    'bpkd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py',
    # At the paper's weights, 50 and 20, the gradients of the edge and the body
    # term at the logits are 1160 and 16 times that of the task, as the
    # self-check shows for this pair. With these they are about as large.
    options={
        'model.distillers.bpkd.weights.edge': 0.05,
        'model.distillers.bpkd.weights.body': 2.0
    })
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.bpkd.loss_weight': [1.0, 3.0]}
