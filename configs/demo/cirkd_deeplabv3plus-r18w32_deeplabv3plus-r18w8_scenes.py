_base_ = 'deeplabv3plus_r18w8-d16_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/deeplabv3plus_r18w32-d16_scenes.py',
            ckpt='work_dirs/demo/teacher/export/student.pth')),
    # The map has twice the paper's resolution and there are few images: fewer
    # vectors, and cells of 4x4, keep the step from taking ten times as long.
    distillers=dict(
        kd=dict(type='LogitsKD'),
        cirkd=dict(
            type='CIRKD',
            pixel_queue=2000,
            region_queue=200,
            pixel_keys=256,
            region_keys=64,
            pool=4)))
