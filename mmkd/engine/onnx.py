"""Export of a student to ONNX, checked against the PyTorch student."""
import importlib.util
import json
import logging
import warnings
from contextlib import contextmanager
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, DefaultScope
from torch import Tensor, nn

from mmkd.core.network import build_network
from mmkd.errors import ConfigError, MMKDError
from mmkd.families import Family, family_of
from mmkd.families.preprocessing import ImageNorm
from mmkd.utils.arguments import with_reason
from mmkd.utils.checkpoint import load_weights, read_checkpoint
from mmkd.utils.config import read_config
from mmkd.utils.files import write_bytes

#: Version of ONNX's operators, the default of torch's exporter.
OPSET = 20
#: Largest difference to PyTorch, relative to an output's largest value if
#: that is above 1.
TOLERANCE = 1e-4
_PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')


class Output(NamedTuple):
    """One output of an exported network.

    Attributes:
        name (str): Its name in the graph.
        shape (tuple[int | str, ...]): Its shape; the batch is a name.
        largest (float): Its largest absolute value on the compared images.
        difference (float): The largest absolute difference to PyTorch.
    """
    name: str
    shape: Tuple[Any, ...]
    largest: float
    difference: float


class Export(NamedTuple):
    """An exported network.

    Attributes:
        path (str): The file.
        opset (int): Version of the operators.
        shape (tuple[int | str, ...]): Shape of the input ``image``.
        images (str): What was compared.
        outputs (list[Output]): The outputs.
    """
    path: str
    opset: int
    shape: Tuple[Any, ...]
    images: str
    outputs: List[Output]


class _Graph(nn.Module):
    """A network from its prepared images to a tuple of tensors."""

    def __init__(self, network: nn.Module, family: Family,
                 samples: List[Any]) -> None:
        super().__init__()
        self.network = network
        self.family = family
        self.samples = samples

    def forward(self, image: Tensor) -> Tuple[Tensor, ...]:
        return tuple(
            self.family.raw_outputs(self.network, image,
                                    self.samples).values())


def check_packages() -> None:
    """Refuse to start without the packages of the export.

    Raises:
        ConfigError: If one is not installed.
    """
    missing = [n for n in _PACKAGES if importlib.util.find_spec(n) is None]
    if missing:
        raise ConfigError(f'--onnx needs {", ".join(missing)}; install with: '
                          f'pip install {" ".join(_PACKAGES)}')


def export_onnx(config: str,
                weights: str,
                path: str,
                size: Optional[Tuple[int, int]] = None,
                opset: int = OPSET) -> Export:
    """Write a plain student of mmdet or mmseg as ONNX, and check the file.

    The graph takes normalised images and returns what the heads compute
    before any post-processing (:meth:`Family.raw_outputs`). onnxruntime and
    PyTorch then compute the same two images, and a single one if the batch
    is dynamic.

    Args:
        config (str): The exported config.
        weights (str): The exported weights.
        path (str): The file to write.
        size (tuple[int, int], optional): Height and width of the input in
            pixels. Defaults to the crop of a network that predicts in
            windows, or else to the size of the first prepared test image.
        opset (int): Version of ONNX's operators. Defaults to 20.

    Raises:
        ConfigError: If a package is missing, if the network cannot be
            exported, or if the results differ by more than 1e-4.
    """
    check_packages()
    cfg = read_config(config)
    checkpoint = read_checkpoint(weights)
    network = build_network(cfg, 'the student')
    load_weights(network, checkpoint, 'the student')
    network = revert_sync_batchnorm(network).eval()
    images, said, classes = _images(cfg, network, size)
    content, export = convert(network, images, opset, checkpoint.classes
                              or classes)
    write_bytes(path, content)
    return export._replace(path=path, images=said)


def convert(network: nn.Module,
            images: Tensor,
            opset: int = OPSET,
            classes: Optional[List[str]] = None) -> Tuple[bytes, Export]:
    """Convert a network to ONNX, and compare both.

    Args:
        network (nn.Module): A network of mmdet or mmseg, in eval mode.
        images (Tensor): Prepared images (N, C, H, W), at least two.
        opset (int): Version of ONNX's operators. Defaults to 20.
        classes (list[str], optional): Names to store in the file.

    Returns:
        tuple[bytes, Export]: Content of the file, and what was compared.

    Raises:
        ConfigError: See :func:`export_onnx`.
    """
    family = family_of(network)
    samples = family.example_batch(network,
                                   tuple(images.shape[-2:]))['data_samples']
    graph = _Graph(network, family, samples)
    with torch.no_grad():
        names = list(family.raw_outputs(network, images, samples))
    program = _trace(graph, images, names, opset)
    _describe(program.model, family.image_norm(network), classes)
    content = program.model_proto.SerializeToString()
    export = _compare(content, graph, images)
    for output in export.outputs:
        # Also true for NaN.
        if not output.difference <= TOLERANCE * max(1., output.largest):
            raise ConfigError(
                f'{type(network).__name__} as ONNX differs from PyTorch by '
                f'{output.difference:.1e} in {output.name} (values up to '
                f'{output.largest:.1e})')
    return content, export


def _trace(graph: nn.Module, images: Tensor, names: List[str],
           opset: int) -> Any:
    """Let torch export the graph, with the batch of the images if the
    network's code fixes it."""
    try:
        try:
            return _export(graph, images, names, opset,
                           dict(image={0: 'batch'}))
        except Exception as error:
            if 'conflicts between user-specified' not in _cause(error):
                raise
            return _export(graph, images, names, opset, None)
    except Exception as error:
        name = type(graph.network).__name__
        if 'data is not allocated yet' in _cause(error):
            raise ConfigError(
                f'{name} uses an operator of mmcv that torch cannot '
                'export, such as deformable convolution; mmdeploy '
                'exports it (docs/deployment.md)') from error
        raise ConfigError(
            with_reason(f'torch cannot export {name} to ONNX', error.__cause__
                        or error)) from error


def _cause(error: Exception) -> str:
    return str(error.__cause__ or error)


def _export(graph: nn.Module, images: Tensor, names: List[str], opset: int,
            dynamic: Any) -> Any:
    with warnings.catch_warnings(), _quiet_loggers():
        warnings.simplefilter('ignore')
        return torch.onnx.export(
            graph, (images, ),
            input_names=['image'],
            output_names=names,
            opset_version=opset,
            dynamic_shapes=dynamic,
            dynamo=True,
            external_data=False,
            verbose=False)


@contextmanager
def _quiet_loggers() -> Iterator[None]:
    """Silence the exporter, which logs every operator that it keeps."""
    loggers = [
        logging.getLogger(name)
        for name in ('onnxscript', 'onnx_ir', 'torch.onnx')
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _describe(model: Any, norm: Optional[ImageNorm],
              classes: Optional[List[str]]) -> None:
    """Store in the file how to prepare images, and what classes there are."""
    model.metadata_props['classes'] = json.dumps(classes or [])
    if norm is not None:
        model.metadata_props.update(
            mean=json.dumps(norm.mean),
            std=json.dumps(norm.std),
            # The libraries load images as BGR.
            channels='RGB' if norm.flip_channels else 'BGR')


def _compare(content: bytes, graph: nn.Module, images: Tensor) -> Export:
    """Run the file and the network on the same images."""
    import onnx
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        content, options, providers=['CPUExecutionProvider'])
    shape = tuple(session.get_inputs()[0].shape)
    known = session.get_outputs()
    largest, difference = [0.] * len(known), [0.] * len(known)
    for batch in [images, images[:1]] if shape[0] == 'batch' else [images]:
        with torch.no_grad():
            expected = graph(batch)
        found = session.run(None, {'image': batch.numpy()})
        for i, (a, b) in enumerate(zip(expected, found)):
            b = torch.from_numpy(b)
            if a.shape != b.shape:
                raise ConfigError(
                    f'{known[i].name} as ONNX has the shape {tuple(b.shape)}, '
                    f'in PyTorch {tuple(a.shape)}')
            largest[i] = max(largest[i], a.abs().max().item())
            # NaN stays NaN.
            difference[i] = max((a - b).abs().max().item(), difference[i])
    imported = onnx.load_model_from_string(content).opset_import
    opset = next(x.version for x in imported if x.domain in ('', 'ai.onnx'))
    return Export('', opset, shape, '', [
        Output(x.name, tuple(x.shape), *pair)
        for x, *pair in zip(known, largest, difference)
    ])


def _images(cfg: Config, network: nn.Module,
            size: Optional[Tuple[int, int]]) -> Tuple[Tensor, str, List[str]]:
    """Two prepared images of the config's test data (2, C, H, W), what they
    are, and the classes of the data; noise if the data is not there."""
    if size is None and network.test_cfg and network.test_cfg.get(
            'mode') == 'slide':
        size = tuple(network.test_cfg['crop_size'])
    try:
        found, classes = _test_images(cfg, network)
        said = 'two images of the test data'
    except (OSError, MMKDError) as error:
        if size is None:
            raise ConfigError(
                with_reason(
                    'there is no test data to read the size of the input '
                    'from; give --size HEIGHT WIDTH', error)) from error
        generator = torch.Generator().manual_seed(0)
        found = [torch.randn((1, 3, *size), generator=generator)] * 2
        said, classes = "noise, as the config's test data is not there", []
    size = size or tuple(found[0].shape[-2:])
    return torch.cat([
        image if image.shape[-2:] == size else F.interpolate(
            image, size, mode='bilinear') for image in found
    ]), said, classes


def _test_images(cfg: Config,
                 network: nn.Module) -> Tuple[List[Tensor], List[str]]:
    """The first and the last prepared image (1, C, H, W), and the classes."""
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader')
    if not loader:
        raise ConfigError('the config has no `test_dataloader`')
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        dataset = DATASETS.build(loader['dataset'])
        if not len(dataset):
            raise ConfigError('the test data is empty')
        images = [
            network.data_preprocessor(pseudo_collate([dataset[i]]),
                                      False)['inputs']
            for i in (0, len(dataset) - 1)
        ]
    return images, list(dataset.metainfo.get('classes') or [])
