# What the methods for a camera student in bird's-eye view share. Trained from
# nothing for as long as there is time, it finds next to no object; so its
# image backbone begins with what a detector of the same scenes' pictures has
# learnt, as published camera students begin with a pre-trained one. Pairs of
# frames give more steps in the time of steps of four. Learning rate and weight
# of the methods are one value each: not tuned yet.
_base_ = 'bev_scenes.py'
family = 'bev-camera_'
formats = ['nuscenes', 'cityscapes', 'coco']
pretrained = dict(
    entry='retinanet_scenes', prefix='backbone.', module='img_backbone')
student = dict(
    iters=1200,
    pretrained=True,
    options={
        'train_dataloader.batch_size': 2,
        'model.img_backbone.base_channels': 32,
        'model.img_backbone.stem_channels': 32,
        'model.img_backbone.frozen_stages': 1,
        'model.img_neck.in_channels': [64, 128]
    })
tuning_iters = 1200
student_grid = {'optim_wrapper.optimizer.lr': [5e-3]}
