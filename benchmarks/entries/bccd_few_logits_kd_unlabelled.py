# All training images serve without labels, too.
_base_ = 'bccd_few_logits_kd.py'
method = 'bccd_few_logits_kd_unlabelled'
label = 'LogitsKD, 21 labels and unlabelled images'
distilled = dict(
    config='configs/bccd/logits-kd-unlabelled_'
    'gfl-mobilenet-v2_gfl-r18w8_bccd.py',
    options={'unlabelled.data': '{root}/annotations/train.txt'})
