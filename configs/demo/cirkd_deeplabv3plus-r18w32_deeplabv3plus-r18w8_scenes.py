_base_ = 'deeplabv3plus_r18w8-d16_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/deeplabv3plus_r18w32-d16_scenes.py',
            ckpt='work_dirs/demo/teacher/export/student.pth')),
    # The paper's 20000 vectors a class are for 80 times as many images.
    distillers=dict(
        kd=dict(type='LogitsKD'),
        cirkd=dict(
            type='CIRKD',
            pixel_queue=2000,
            region_queue=200,
            pixel_keys=1024,
            region_keys=256,
            pool=True)))
