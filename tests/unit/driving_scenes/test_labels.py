"""The labels are the official ones."""
from driving_scenes.labels import (CATEGORY_LABELS, CLASSES, LABEL_IDS, LABELS,
                                   train_id_table)


def test_labels_are_the_official_ones():
    from cityscapesscripts.helpers.labels import labels as official
    theirs = {x.name: x for x in official if x.id >= 0}
    assert len(LABELS) == len(theirs)
    for label in LABELS:
        other = theirs[label.name]
        assert label.id == other.id
        assert label.color == other.color
        assert label.has_instances == other.hasInstances
        assert label.train_id == (other.trainId if other.trainId < 19 else 255)
    assert len(CLASSES) == 19
    assert train_id_table()[LABEL_IDS['bicycle']] == 18
    assert set(CATEGORY_LABELS.values()) <= set(LABEL_IDS)
