# With an unlabelled image for each labelled one.
_base_ = 'feature-kd_yolox-nano_yolox-slim_coco-small.py'
unlabelled = dict(data='{{$UNLABELLED:data/photos}}', size=(192, 256))
