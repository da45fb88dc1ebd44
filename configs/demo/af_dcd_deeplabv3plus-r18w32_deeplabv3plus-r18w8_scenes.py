_base_ = 'deeplabv3plus_r18w8-d16_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/deeplabv3plus_r18w32-d16_scenes.py',
            ckpt='work_dirs/demo/teacher/export/student.pth')),
    # The feature term is a sum over channels and cells, of which the paper
    # has 512 times as many. The map of 8x16 cells is not pooled.
    distillers=dict(
        kd=dict(type='LogitsKD'),
        af_dcd=dict(type='AfDCD', pool=1, weights=dict(feature=1e-3))))
