"""COCO records of the scenes."""
from driving_scenes.labels import THINGS
from driving_scenes.writers import CocoWriter
from tests.fixtures.scenes import made_up_frame


def test_coco_crowds_boxes_and_areas():
    record = CocoWriter('').record(made_up_frame())
    found = {(a['category_id'], a['iscrowd'], tuple(a['bbox']), a['area'])
             for a in record['annotations']}
    person, car = THINGS.index('person') + 1, THINGS.index('car') + 1
    assert found == {(car, 0, (4, 4, 16, 16), 256),
                     (car, 1, (24, 4, 12, 8), 96),
                     (person, 0, (24, 20, 12, 8), 96),
                     (person, 1, (44, 28, 4, 4), 16)}
