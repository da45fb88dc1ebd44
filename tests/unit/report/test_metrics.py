from mmkd.report.metrics import common, decisive, describe, is_main


def test_decisive():
    assert decisive(['aAcc', 'mIoU', 'mAcc']) == 'mIoU'
    assert decisive(['coco/bbox_mAP_50', 'coco/bbox_mAP']) == 'coco/bbox_mAP'
    kitti = 'pred_instances_3d/KITTI/Overall_3D_AP40_moderate'
    assert decisive(['pred_instances_3d/KITTI/Car_3D_AP11_easy_strict',
                     kitti]) == kitti
    assert decisive(['x', 'y']) == 'x' and decisive([]) is None


def test_units_and_directions():
    assert describe('coco/bbox_mAP') == ('coco/bbox_mAP', 'box mAP', 100,
                                         False)
    assert describe('mIoU').scale == 1
    error = describe('NuScenes metric/pred_instances_3d_NuScenes/mATE')
    assert error.lower and error.scale == 1


def test_main_and_common():
    assert is_main('mIoU') and is_main('coco/bbox_mAP_s')
    assert not is_main('coco/car_precision')
    assert common([dict(a=1, b=2), dict(b=1, c=2)]) == ['b']
