import pytest
import torch

from mmkd import apis
from mmkd.engine.hooks import StatisticsHook
from mmkd.errors import ConfigError
from mmkd.testing import distillation_config, segmentation_config, segmentor

METHODS = dict(
    plain=dict(type='FeatureKD', preset='dsi'),
    rotated=dict(
        type='FeatureKD',
        student='backbone[-1]',
        teacher='backbone[-1]',
        standardise='phi'))


@pytest.fixture
def runner(cityscapes, tmp_path):
    cfg = distillation_config(
        segmentation_config(cityscapes, str(tmp_path), max_iters=1), METHODS,
        dict(teacher=dict(cfg=segmentor(8), ckpt='random')))
    runner = apis.build_runner(apis.prepare_training(cfg))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    return runner


def test_statistics_before_training(runner):
    assert any(isinstance(hook, StatisticsHook) for hook in runner.hooks)
    model, state = runner.model.train(), torch.get_rng_state()
    before = {key: x.clone() for key, x in model.state_dict().items()}
    StatisticsHook().before_train(runner)
    assert torch.get_rng_state().equal(state)
    changed = {
        key
        for key, value in model.state_dict().items()
        if not value.equal(before[key])
    }
    assert changed == {
        f'distill.rotated.{key}'
        for key in ('steps', 'statistics.0.sums', 'statistics.0.rotation')
    }
    distiller = model.distillers['rotated']
    sums = distiller.statistics[0].sums.clone()
    cells = distiller.statistics[0].cells
    assert cells >= 10 * distiller.channels[0]
    data = next(iter(runner.train_dataloader))
    sizes = {x.shape[1:] for x in data['inputs']}
    assert len(sizes) == 1 and cells % 64 == 0
    # Held from the first iteration on, and not gathered twice.
    model(**model.data_preprocessor(data, True), mode='loss')
    StatisticsHook().before_train(runner)
    assert distiller.statistics[0].sums.equal(sums)


def test_a_resumed_run_keeps_its_own(runner):
    distiller = runner.model.distillers['rotated']
    distiller.load_state_dict({
        **distiller.state_dict(), 'steps':
        torch.tensor(1)
    })
    StatisticsHook().before_train(runner)
    assert not distiller.statistics[0].cells


def test_number_of_images(cityscapes, tmp_path):
    """Unlabelled images count; larger crops of the same images do not."""
    cfg = distillation_config(
        segmentation_config(cityscapes, str(tmp_path), max_iters=1),
        dict(
            queue=dict(
                type='SimilarityKD',
                teacher=dict(stages='backbone[-1]', summary='backbone[-1]'),
                queue_size=9)),
        dict(teacher=dict(cfg=segmentor(8), ckpt='random')))
    cfg.unlabelled = dict(data=f'{cityscapes}/leftImg8bit/val')
    runner = apis.build_runner(apis.prepare_training(cfg))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    StatisticsHook().before_train(runner)  # 8 labelled and 2 others
    runner.model.unlabelled_norm = None
    with pytest.raises(ConfigError, match='a queue of 9 .* have 8'):
        StatisticsHook().before_train(runner)


def test_only_errors_of_the_data_are_said_to_be_of_the_data(
        runner, monkeypatch):

    def fail(*_):
        raise RuntimeError('a teacher fails')

    target = 'mmkd.engine.hooks.statistics_hook.'
    monkeypatch.setattr(target + 'teacher_tensors', fail)
    with pytest.raises(RuntimeError, match='^a teacher fails'):
        StatisticsHook().before_train(runner)
    monkeypatch.setattr(target + 'endless_batches', lambda *_: map(fail, [0]))
    with pytest.raises(ConfigError, match='the training data cannot be'):
        StatisticsHook().before_train(runner)
