# With the training images of CamVid, of which the labels are not read.
_base_ = 'coco_slim_feature_kd.py'
label = 'FeatureKD, unlabelled images too'
method = 'coco_slim_feature_kd_unlabelled'
distilled = dict(
    config='configs/coco_small/feature-kd-unlabelled_yolox-nano_'
    'yolox-slim_coco-small.py',
    options={'unlabelled.data': '{root}/../camvid/img_dir/train'})
