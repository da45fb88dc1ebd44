# With an unlabelled image for each labelled one.
_base_ = 'feature-kd_gfl-mobilenet-v2_gfl-r18w8_bccd.py'
unlabelled = dict(data='{{$UNLABELLED:data/bccd/annotations/train.txt}}')
