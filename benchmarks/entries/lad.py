_base_ = 'deeplabv3plus_scenes.py'
method = 'lad'
# As large as the student; it sees noisy labels.
teacher = dict(
    config='configs/demo/deeplabv3plus_r18w8-d16-label_scenes.py', iters=1500)
teacher_family = 'deeplabv3plus_label'
distilled = dict(config='configs/demo/'
                 'lad_deeplabv3plus-r18w8-label_deeplabv3plus-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.cwd.loss_weight': [1.0, 3.0]}
