"""Typical mistakes stop a run before it trains, in one line that says the way
out."""
import os
import urllib.error

import cv2
import pytest
import torch
from mmengine.config import Config

from mmkd import cli
from mmkd.core.network import build_network
from mmkd.testing import (distillation_config, segmentation_config, segmentor,
                          write_cityscapes)


def set_key(key, value):
    return lambda cfg, root: cfg.merge_from_dict({key: value})


def rename(key, wrong):
    return lambda cfg, root: cfg.__setitem__(wrong, cfg.pop(key))


def spoil_labels(cfg, root):
    folder = f'{root}/gtFine/train/tinytown'
    path = f'{folder}/{min(os.listdir(folder))}'
    labels = cv2.imread(path, -1)
    labels[0] = 30
    cv2.imwrite(path, labels)


def distil(teacher, **method):

    def change(cfg, root):
        content = distillation_config(cfg,
                                      dict(kd={
                                          'type': 'LogitsKD',
                                          **method
                                      }), dict(teacher=teacher(root)))
        cfg.merge_from_dict(dict(model=dict(content.model, _delete_=True)))

    return change


def other_classes(root):
    """A teacher whose checkpoint names other classes."""
    network = build_network(segmentor(), 'teacher')
    classes = ['street', *map(str, range(18))]
    torch.save(
        dict(
            state_dict=network.state_dict(),
            meta=dict(dataset_meta=dict(classes=classes))), f'{root}/t.pth')
    return dict(cfg=segmentor(), ckpt=f'{root}/t.pth')


def untrained(root):
    return dict(cfg=segmentor(), ckpt='random')


MISTAKES = {
    'wrong class count': (set_key('model.decode_head.num_classes', 25), [
        '19 classes', '`model.decode_head` has num_classes=25',
        'set num_classes=19'
    ]),
    'other classes in the teacher':
    (distil(other_classes),
     ["'road' here, 'street' there", 'use a teacher with these classes']),
    'missing pretrained weights':
    (set_key('model.backbone.init_cfg',
             dict(type='Pretrained',
                  checkpoint='https://example.org/a.pth')), [
                      '`model.backbone.init_cfg`', 'https://example.org/a.pth',
                      'give its path'
                  ]),
    'wrong tap':
    (distil(untrained, student='decode_head.conv_sge'),
     ["'decode_head.conv_sge'", 'Did you mean decode_head.conv_seg']),
    'wrong data root': (set_key('train_dataloader.dataset.data_root', '/gone'),
                        ['/gone/', 'no such folder', 'check `data_root`']),
    'forgotten custom import':
    (set_key('model.decode_head.type', 'MyHead'),
     ["no 'MyHead' in mmseg", '`custom_imports=dict(imports=[']),
    'missing evaluator file':
    (set_key(
        'val_evaluator',
        dict(type='mmdet.CocoMetric', ann_file='/gone.json', _delete_=True)),
     ['`val_evaluator`', '/gone.json', 'correct the path']),
    'label out of range':
    (spoil_labels,
     ['TrainIds.png', 'the label 30', '0 to 18', 'correct the label map']),
    'misspelt top-level key': (rename('optim_wrapper', 'optim_wraper'),
                               ['`optim_wraper`', 'mean `optim_wrapper`?']),
}


def error_of(capsys, *argv):
    """The only line of the error that ends a command."""
    with pytest.raises(SystemExit) as stop:
        cli.main(argv)
    assert stop.value.code == 2
    lines = [
        line for line in capsys.readouterr().err.splitlines()
        if line.startswith('error: ')
    ]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize('mistake', MISTAKES)
def test_stops_before_training(mistake, tmp_path, capsys, monkeypatch):

    def offline(*args, **kwargs):
        raise urllib.error.URLError('Name or service not known')

    monkeypatch.setattr('urllib.request.urlopen', offline)
    monkeypatch.setattr('time.sleep', lambda seconds: None)
    root = write_cityscapes(str(tmp_path / 'data'), 3, 1)
    cfg = segmentation_config(root, str(tmp_path / 'run'), max_iters=1)
    change, said = MISTAKES[mistake]
    change(cfg, root)
    Config(cfg.to_dict()).dump(str(tmp_path / 'mine.py'))
    text = error_of(capsys, 'train', str(tmp_path / 'mine.py'))
    for part in said:
        assert part in text
    assert not (tmp_path / 'run/iter_1.pth').exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_no_gpu(capsys):
    text = error_of(capsys, 'train', 'student.py', '--device', 'cuda')
    assert 'no such device' in text and 'use --device cpu' in text
