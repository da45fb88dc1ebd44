_base_ = 'deeplabv3plus_camvid.py'
method = 'camvid_lad'
# As large as the student; it sees noisy labels.
teacher = dict(
    _delete_=True,
    config='configs/camvid/deeplabv3plus_r18w16-d16-label_camvid.py',
    iters=2000)
teacher_family = 'camvid_label_'
distilled = dict(config='configs/camvid/lad_deeplabv3plus-'
                 'r18w16-label_deeplabv3plus-r18w16_camvid.py')
distilled_grid = {'model.distillers.cwd.loss_weight.ratio': [0.3, 1.0, 3.0]}
