"""Training in several processes: set-up on CPUs, and unsupported settings."""
import os
import subprocess
from typing import Any, Dict, Optional

import torch
from mmengine.config import Config
from torch import nn

from mmkd.errors import ConfigError

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
# Environment variables with the rank of a process, by launcher.
_VARIABLES: Dict[str, Dict[str, str]] = dict(
    pytorch=dict(
        RANK='RANK', WORLD_SIZE='WORLD_SIZE', LOCAL_RANK='LOCAL_RANK'),
    slurm=dict(
        RANK='SLURM_PROCID',
        WORLD_SIZE='SLURM_NTASKS',
        LOCAL_RANK='SLURM_LOCALID'),
    mpi=dict(
        RANK='OMPI_COMM_WORLD_RANK',
        WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
        LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK'))


def is_first(launcher: str) -> bool:
    """Whether this is the first process of a run that has not begun yet.

    Args:
        launcher (str): What started the processes; ``'none'`` for one alone.
    """
    variable = _VARIABLES.get(launcher, {}).get('RANK', '')
    return os.environ.get(variable, '0') == '0'


def world_size(launcher: str) -> int:
    """Number of processes of a run, which need not have begun yet.

    Args:
        launcher (str): What started the processes; ``'none'`` for one alone.
    """
    variable = _VARIABLES.get(launcher, {}).get('WORLD_SIZE', '')
    return int(os.environ.get(variable, '1'))


def join_on_cpus(launcher: str) -> None:
    """Initialise a process group with the gloo backend.

    mmengine sets a CUDA device for every backend, so call this before it
    builds a runner.

    Args:
        launcher (str): Launcher of the processes.

    Raises:
        ConfigError: If this launcher did not start the process.
    """
    if torch.distributed.is_initialized():
        return
    for name, source in _VARIABLES[launcher].items():
        if source not in os.environ:
            raise ConfigError(
                f'--launcher {launcher}, but the process was not started by '
                f'it: {source} is not set; tools/dist_train.sh and '
                'tools/slurm_train.sh start processes')
        os.environ[name] = os.environ[source]
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        if launcher != 'slurm':
            raise ConfigError('MASTER_ADDR is not set: the address of the '
                              'machine with the first process')
        os.environ['MASTER_ADDR'] = subprocess.getoutput(
            'scontrol show hostnames').splitlines()[0]
    torch.distributed.init_process_group('gloo')


def check_strategy(cfg: Config) -> None:
    """Refuse strategies that shard the student over processes.

    Args:
        cfg (Config): Config of a distillation run.

    Raises:
        ConfigError: If it uses FSDP, DeepSpeed or ColossalAI.
    """
    parts = dict(
        strategy=cfg.get('strategy'),
        model_wrapper_cfg=cfg.get('model_wrapper_cfg'),
        optim_wrapper=cfg.get('optim_wrapper'))
    for name, part in parts.items():
        kind = str(part.get('type')) if isinstance(part, dict) else ''
        if name == 'strategy' and part or any(
                other in kind
                for other in ('FullySharded', 'DeepSpeed', 'ColossalAI')):
            raise ConfigError(
                f'`{name}` asks for {kind or part}, which splits weights over '
                'processes; a distillation reads whole networks. Leave it '
                'out: MMDistributedDataParallel is the default, and '
                '`optim_wrapper.accumulative_counts` and --amp save memory')


def check_sync_bn(model: nn.Module, converted: Optional[str] = None) -> None:
    """Refuse synchronised batch normalisation on CPUs.

    Args:
        model (nn.Module): The model of several processes.
        converted (str, optional): ``sync_bn`` of the config, which converts
            every batch normalisation. Defaults to None.

    Raises:
        ConfigError: If the model is on CPUs and has synchronised batch
            normalisation, or would be converted to it.
    """
    if torch.cuda.is_available():
        return
    found = next((f'{name} is a SyncBN'
                  for name, module in model.named_modules()
                  if isinstance(module, nn.SyncBatchNorm)), None)
    if found is None and converted:
        found = f'`sync_bn` is {converted!r}: each BN is to be a SyncBN'
    if found:
        raise ConfigError(
            f'{found}, which several processes without GPUs cannot have; '
            "write `norm_cfg` with type='BN' and leave `sync_bn` out")


def launcher_of(cfg: Config) -> Any:
    """The launcher of a config's processes.

    Raises:
        ConfigError: If there is no such launcher.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher not in LAUNCHERS:
        raise ConfigError(f'there is no launcher {launcher!r}; it is one of '
                          f'{", ".join(LAUNCHERS)}')
    return launcher
