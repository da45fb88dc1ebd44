# A camera network in bird's-eye view whose image backbone begins with what a
# detector of the same scenes' pictures has learnt, as published ones begin
# with a pre-trained one: from nothing, in the time there is, it finds next to
# no object. Pairs of frames give more steps in the time of steps of four.
pretrained = dict(
    entry='retinanet_scenes', prefix='backbone.', module='img_backbone')
shared = dict(
    camera_options={
        'train_dataloader.batch_size': 2,
        'model.img_backbone.base_channels': 32,
        'model.img_backbone.stem_channels': 32,
        'model.img_backbone.frozen_stages': 1,
        'model.img_neck.in_channels': [64, 128]
    },
    camera_grid={'optim_wrapper.optimizer.lr': [5e-3]})
# Of one that is trained alone, as a teacher.
shared['camera_recipe'] = {
    **shared['camera_options'], 'optim_wrapper.optimizer.lr': 5e-3
}
