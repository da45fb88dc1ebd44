import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmkd import apis
from mmkd.engine import processes
from mmkd.engine.processes import (check_strategy, check_sync_bn, join_on_cpus,
                                   launcher_of)
from mmkd.errors import ConfigError

VARIABLES = dict(
    pytorch=dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0'),
    slurm=dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_LOCALID='0'),
    mpi=dict(
        OMPI_COMM_WORLD_RANK='0',
        OMPI_COMM_WORLD_SIZE='1',
        OMPI_COMM_WORLD_LOCAL_RANK='0'))


@pytest.fixture
def environ(monkeypatch):
    for names in VARIABLES.values():
        for name in names:
            monkeypatch.delenv(name, raising=False)
    for name in ('MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.delenv(name, raising=False)
    # Set by the function, and so taken back.
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_PORT'):
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    yield monkeypatch
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize('launcher', VARIABLES)
def test_launchers(launcher, environ):
    """Each tells who a process is in its own words."""
    with pytest.raises(ConfigError, match=f'launcher {launcher}.*not set'):
        join_on_cpus(launcher)
    for name, value in VARIABLES[launcher].items():
        environ.setenv(name, value)
    seen = []
    environ.setattr(torch.distributed, 'init_process_group', seen.append)
    environ.setattr(processes.subprocess, 'getoutput', lambda _: 'node7\nx')
    if launcher != 'slurm':
        with pytest.raises(ConfigError, match='MASTER_ADDR is not set'):
            join_on_cpus(launcher)
        environ.setenv('MASTER_ADDR', 'node7')
    join_on_cpus(launcher)
    assert seen == ['gloo']
    import os
    assert [
        os.environ[name]
        for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR')
    ] == ['0', '1', '0', 'node7']


def test_device_decides(environ):
    """Where there is a GPU, mmengine joins the processes, by nccl."""
    cfg = Config(dict(launcher='pytorch'))
    environ.setattr(torch.cuda, 'is_available', lambda: True)
    apis.prepare_devices(cfg)
    assert 'model_wrapper_cfg' not in cfg
    environ.setattr(torch.cuda, 'is_available', lambda: False)
    environ.setattr(processes, 'join_on_cpus', lambda launcher: None)
    apis.prepare_devices(cfg)
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel', device_ids=None)
    with pytest.raises(ConfigError, match="no launcher 'ssh'.*slurm"):
        launcher_of(Config(dict(launcher='ssh')))


@pytest.mark.parametrize('wrong', [
    dict(strategy=dict(type='FSDPStrategy')),
    dict(strategy=dict(type='DeepSpeedStrategy')),
    dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')),
    dict(optim_wrapper=dict(type='DeepSpeedOptimWrapper')),
])
def test_split_weights_are_refused(wrong):
    with pytest.raises(ConfigError, match='splits weights.*accumulative'):
        check_strategy(Config(wrong))
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        apis.prepare_training(
            Config(dict(wrong, model=dict(type='mmkd.DistillationModel'))))


def test_sync_bn():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.SyncBatchNorm(3))
    if torch.cuda.is_available():
        check_sync_bn(model)
    else:
        with pytest.raises(ConfigError, match="1 is a SyncBN.*type='BN'"):
            check_sync_bn(model)
        with pytest.raises(ConfigError, match="`sync_bn` is 'torch'"):
            check_sync_bn(model[:1], 'torch')
    check_sync_bn(model[:1])
