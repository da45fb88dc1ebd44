# The student's backbone learns from MobileNetV2, trained on ImageNet, on the
# training images without their labels.
_base_ = 'deeplabv3plus_r18w16-d16_camvid.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg=dict(
                type='mmkd.FactoryNetwork',
                factory='mmseg.models.backbones:MobileNetV2',
                arguments=dict(out_indices=(2, 4, 6)),
                mean=[0.485, 0.456, 0.406],
                std=[0.229, 0.224, 0.225]),
            ckpt='{{$MOBILENETV2:mobilenetv2.pth}}')),
    # Strides 8, 16 and 16, and in the teacher 8, 16 and 32.
    distillers=dict(
        feature_kd=dict(
            type='FeatureKD',
            student=['backbone[1]', 'backbone[2]', 'backbone[3]'],
            teacher=['maps[0]', 'maps[1]', 'maps[2]'],
            calibration=50)))
# The rate is for a batch of 1536 and becomes 2e-3, that of the student alone.
# Without larger crops at the end, as the published series was trained.
label_free = dict(
    data='{{$CAMVID:data/camvid}}/img_dir/train',
    size=128,
    last_size=128,
    epochs=8,
    batch_size=16,
    lr=0.02,
    mixup=False)
