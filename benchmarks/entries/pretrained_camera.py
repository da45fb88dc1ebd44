# A camera network in bird's-eye view. Its image backbone is initialised from a
# detector trained on the same scenes' images, just as published networks use
# pretrained backbones: trained from scratch this briefly, it finds almost no
# object. Batches of two frames give more steps in the same time than four.
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
# For one that is trained alone, as a teacher.
shared['camera_recipe'] = {
    **shared['camera_options'], 'optim_wrapper.optimizer.lr': 5e-3
}
