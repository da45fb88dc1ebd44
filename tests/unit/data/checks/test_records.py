from mmkd.data.checks.records import record_problems


class Records:
    """Records of a detection data set, as mmengine gives them."""

    def __init__(self, *infos):
        self.infos = infos

    def __len__(self):
        return len(self.infos)

    def get_data_info(self, i):
        return self.infos[i]


def info(label=0, box=(1, 1, 9, 9), **kwargs):
    return dict(
        img_path='a.jpg',
        width=10,
        height=10,
        instances=[dict(bbox=list(box), bbox_label=label, **kwargs)])


def problems(*infos, num_classes=2, **kwargs):
    return list(
        map(str, record_problems(Records(*infos), num_classes, **kwargs)))


def test_good_records():
    assert problems(info(0), info(1), dict(img_path='b.jpg')) == []
    assert problems(info(7, ignore_flag=1)) == []


def test_labels():
    found, = problems(info(0), info(2))
    assert found == (
        'a.jpg: has an object with the label 2, but the head has 2 classes, '
        '0 to 1; correct the annotations, the classes of the data set or '
        '`num_classes` of the head')
    assert problems(info(0), info(2), limit=1) == []


def test_boxes():
    far = info(box=(1, 1, 30, 9))
    found, = problems(far, far, info())
    assert 'the box [1, 1, 30, 9] ([x1, y1, x2, y2]) past its image of ' \
        '10 x 10 pixels, like 2 of 3 boxes' in found
    assert problems(far, info(), info()) == []  # mmdet cuts a few


def test_boxes_in_3d():
    """mmdet3d numbers the classes of the file, and turns them into those of
    the config."""
    raw = [dict(bbox_label=8, bbox_label_3d=8, bbox=[1, 1, 9, 9])]
    points = dict(lidar_path='a.bin')
    assert problems(dict(lidar_points=points, instances=raw)) == []
    found, = problems(
        dict(
            lidar_points=points,
            instances=raw,
            ann_info=dict(gt_labels_3d=[-1, 0, 3])))
    assert found.startswith('a.bin: has an object with the label 3')


def test_wrapped():
    assert record_problems(dict(datasets=[]), 2) == []
    wrapper = type('Wrapper', (), dict(datasets=[Records(info(5))]))()
    assert len(record_problems(wrapper, 2)) == 1
