"""Models in files with their graph: ONNX, torch.export and TorchScript."""
import hashlib
import os.path as osp
from typing import Any, List, Optional, Sequence, Union

import torch
from torch import Tensor, nn

from mmkd.errors import CheckpointError, ConfigError
from mmkd.families.foundation.factory import OutputNetwork
from mmkd.families.foundation.hf_network import read_card
from mmkd.families.foundation.network import Size
from mmkd.registry import MODELS
from mmkd.utils.imports import optional_package


@MODELS.register_module()
class OnnxNetwork(OutputNetwork):
    """A model in an ONNX file, which onnxruntime runs on the CPU.

    Args:
        file (str): The file, with all its weights inside.
        outputs (Sequence[str], optional): Names of the outputs to show, in
            this order. Defaults to None: all.
        mean (Sequence[float], optional): Mean of red, green and blue, from 0
            to 1. Defaults to None: that of ``preprocessor_config.json``
            beside the file.
        std (Sequence[float], optional): Their standard deviation, likewise.
        prefix (int): See :class:`OutputNetwork`.
        patch (int | Sequence[int], optional): Likewise.
        size (str | dict | Sequence[int]): See :class:`FoundationNetwork`.

    Raises:
        ConfigError: If onnxruntime is missing, or the file is no model with
            one input and these outputs.
    """

    def __init__(self,
                 file: str,
                 outputs: Optional[Sequence[str]] = None,
                 mean: Optional[Sequence[float]] = None,
                 std: Optional[Sequence[float]] = None,
                 prefix: int = 0,
                 patch: Union[int, Sequence[int], None] = None,
                 size: Size = 'nearest') -> None:
        name = f'onnx::{file}'
        _check_file(file, name)
        card = read_card(osp.dirname(file), name, mean, std)
        super().__init__(
            _Session(file, outputs, name), card, prefix, patch, size)
        self.file = file


class _Session(nn.Module):
    """An onnxruntime session as a module.

    Its parameter is the hash of the file, which tells caches whose tensors
    they hold.
    """

    def __init__(self, file: str, outputs: Optional[Sequence[str]],
                 name: str) -> None:
        super().__init__()
        runtime = optional_package('onnxruntime', f'the teacher {name}')
        with open(file, 'rb') as opened:
            content = opened.read()
        try:
            # From memory, so that data in other files is not read.
            self.session: Any = runtime.InferenceSession(
                content, providers=['CPUExecutionProvider'])
        except Exception as error:  # onnxruntime has many kinds
            raise ConfigError(f'{name}: onnxruntime cannot load it: '
                              f'{str(error).splitlines()[0][:160]}') from error
        inputs = [x.name for x in self.session.get_inputs()]
        known = [x.name for x in self.session.get_outputs()]
        if len(inputs) != 1:
            raise ConfigError(f'{name} has the inputs {", ".join(inputs)}; '
                              'a teacher takes one, the images')
        missing = [x for x in outputs or () if x not in known]
        if missing:
            raise ConfigError(f'{name} has no output {missing[0]!r}, but '
                              f'{", ".join(known)}')
        self.input = inputs[0]
        self.outputs = list(outputs or known)
        digest = hashlib.sha256(content).digest()
        self.sha256 = nn.Parameter(
            torch.tensor(list(digest), dtype=torch.uint8), requires_grad=False)

    def forward(self, images: Tensor) -> List[Tensor]:
        found = self.session.run(self.outputs,
                                 {self.input: images.float().cpu().numpy()})
        return [torch.from_numpy(value).to(images.device) for value in found]


@MODELS.register_module()
class ExportedNetwork(OutputNetwork):
    """A model that ``torch.export.save`` wrote; reading it can run code.

    Args:
        file (str): The file.
        trusted (bool): Whether the user vouches for this very file. Defaults
            to False.
        mean (Sequence[float], optional): As for :class:`OnnxNetwork`.
        std (Sequence[float], optional): Likewise.
        prefix (int): See :class:`OutputNetwork`.
        patch (int | Sequence[int], optional): Likewise.
        size (str | dict | Sequence[int]): See :class:`FoundationNetwork`.

    Raises:
        ConfigError: If the file is not trusted.
        CheckpointError: If it cannot be read.
    """
    scheme = 'export'

    def __init__(self,
                 file: str,
                 trusted: bool = False,
                 mean: Optional[Sequence[float]] = None,
                 std: Optional[Sequence[float]] = None,
                 prefix: int = 0,
                 patch: Union[int, Sequence[int], None] = None,
                 size: Size = 'nearest') -> None:
        name = f'{self.scheme}::{file}'
        _check_file(file, name)
        if trusted is not True:
            raise ConfigError(
                f'{name}: such a file can run code; set trusted=True in the '
                'teacher if you trust it, or give the weights as safetensors')
        try:
            model = self.load(file)
        except Exception as error:  # of torch's reader
            raise CheckpointError(f'{name}: torch cannot load it: '
                                  f'{type(error).__name__}: '
                                  f'{str(error)[:160]}') from error
        super().__init__(model, read_card(osp.dirname(file), name, mean, std),
                         prefix, patch, size)
        self.file = file

    @staticmethod
    def load(file: str) -> Any:
        """The network in a file."""
        return torch.export.load(file).module()

    def train(self, mode: bool = True) -> 'ExportedNetwork':
        """Do nothing: an exported graph has the mode of its export."""
        return self


@MODELS.register_module()
class TorchScriptNetwork(ExportedNetwork):
    """A model that ``torch.jit.save`` wrote; reading it can run code.

    Arguments and errors are those of :class:`ExportedNetwork`.
    """
    scheme = 'torchscript'

    @staticmethod
    def load(file: str) -> Any:
        """The network in a file, in eval mode."""
        return torch.jit.load(file, map_location='cpu').eval()


def _check_file(file: str, name: str) -> None:
    if not osp.isfile(file):
        raise ConfigError(f'{name}: there is no such file')
