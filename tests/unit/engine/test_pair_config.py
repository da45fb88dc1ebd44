"""Short configs that apply a method to two configs."""
from mmengine.config import Config

from mmkd import apis
from mmkd.testing import detector


def write(path, classes):
    cfg = Config(detector(num_classes=len(classes)))
    cfg.train_dataloader = dict(
        dataset=dict(type='CocoDataset', metainfo=dict(classes=classes)))
    cfg.dump(str(path))
    return str(path)


def test_classes_of_the_teacher(tmp_path):
    student = write(tmp_path / 'student.py', ('d', 'b'))
    files = {
        'more': write(tmp_path / 'more.py', ('a', 'b', 'c', 'd')),
        'same': write(tmp_path / 'same.py', ('d', 'b')),
        'others': write(tmp_path / 'others.py', ('a', 'b', 'c')),
    }
    cfg = apis.write_distillation_config(student, {
        key: (file, 'random')
        for key, file in files.items()
    }, 'mgd', str(tmp_path / 'run' / 'mgd.py'))
    classes = {
        key: teacher.get('classes')
        for key, teacher in cfg.model.teachers.items()
    }
    assert classes == dict(more=['d', 'b'], same=None, others=None)


def test_weights_of_the_teacher(tmp_path):
    student = write(tmp_path / 'student.py', ('d', 'b'))
    teacher = {
        'teacher': (write(tmp_path / 'teacher.py', ('d', 'b')), 'random')
    }
    hook = dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)

    def written(student, **options):
        path = str(tmp_path / 'run' / 'inherit.py')
        return apis.write_distillation_config(student, teacher, None, path,
                                              **options)

    cfg = written(student, inherit=dict(modules='all', narrow=True))
    assert cfg.model.distillers == {} and cfg.custom_hooks == [hook]
    assert cfg.model.teachers.keys() == {'teacher'}
    own = Config.fromfile(student)
    own.custom_hooks = [dict(type='EMAHook', momentum=0.3)]
    own.dump(str(tmp_path / 'averaged.py'))
    cfg = written(str(tmp_path / 'averaged.py'), inherit={})
    assert cfg.custom_hooks == [
        *own.custom_hooks,
        dict(type='mmkd.InheritTeacherHook')
    ]
    assert 'custom_hooks' not in written(student)
