"""Backbones of transformers as teachers."""
import json
import os.path as osp
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from mmkd.errors import CheckpointError, ConfigError
from mmkd.families.foundation.network import (Card, Features,
                                              FoundationNetwork, Size,
                                              patch_size, read_levels, to_map)
from mmkd.registry import MODELS
from mmkd.utils.imports import optional_package


@MODELS.register_module()
class HFNetwork(FoundationNetwork):
    """A model of images of transformers, from a folder.

    The folder has ``config.json``, ``model.safetensors`` or its index of
    several files, and ``preprocessor_config.json``. Code in it never runs,
    and nothing is downloaded. transformers must have a backbone class for the
    model, or it is the image side of SigLIP or CLIP, with its position
    embedding interpolated.

    Args:
        folder (str): The folder.
        levels (int | Sequence[int]): Blocks of a transformer or stages of a
            pyramid to show, from 0; negative from the end. Defaults to -1.
        norm (str): ``'final'`` normalises every level of a plain transformer
            by its last normalisation; ``'none'`` none. Defaults to
            ``'final'``.
        size (str | dict | Sequence[int]): See :class:`FoundationNetwork`.
        mean (Sequence[float], optional): In place of that of
            ``preprocessor_config.json``. Defaults to None.
        std (Sequence[float], optional): Likewise. Defaults to None.

    Raises:
        ConfigError: If transformers or the folder is missing, or the model
            is of another kind.
    """

    def __init__(self,
                 folder: str,
                 levels: Union[int, Sequence[int]] = -1,
                 norm: str = 'final',
                 size: Size = 'nearest',
                 mean: Optional[Sequence[float]] = None,
                 std: Optional[Sequence[float]] = None) -> None:
        name = f'hf::{folder}'
        if not osp.isfile(osp.join(folder, 'config.json')):
            raise ConfigError(
                f'{name}: there is no {osp.join(folder, "config.json")}; '
                f"fetch a model with 'hf download ORGANISATION/NAME "
                "--local-dir FOLDER' and write hf::FOLDER, or write "
                "hf::ORGANISATION/NAME with ckpt='official', which downloads "
                'it')
        if norm not in ('final', 'none'):
            raise ConfigError(f"{name}: norm is 'final' or 'none', not "
                              f'{norm!r}')
        config = _read_config(folder, name)
        config = getattr(config, 'vision_config', config)
        cls, is_backbone = _model_class(config, name)
        if hasattr(config, 'apply_layernorm'):
            config.apply_layernorm = norm == 'final'
        count = len(config.stage_names
                    ) - 1 if is_backbone else config.num_hidden_layers
        chosen = read_levels(levels, count, name)
        if is_backbone:  # the first output is that of its stem
            config.out_indices = [level + 1 for level in chosen]
        model = cls(config)
        isotropic = not is_backbone or hasattr(config, 'apply_layernorm')
        patch = patch_size(config.patch_size) if isotropic else (1, 1)
        super().__init__(model, read_card(folder, name, mean, std), patch,
                         size, patch if isotropic else _strides(config))
        self.levels, self.norm = chosen, norm == 'final'
        self.is_backbone = is_backbone

    def features(self, images: Tensor) -> Features:
        """See the base class."""
        if not self.is_backbone:
            return self._tokens(images)
        whole = self.wants_summary
        found = self.model(images, output_hidden_states=whole)
        maps = found.feature_maps
        if not whole:
            return maps, None
        last = found.hidden_states[-1]
        if last.dim() == 3:
            norm = getattr(self.model, 'layernorm',
                           getattr(self.model, 'norm', nn.Identity()))
            return maps, norm(last)[:, 0]
        return maps, maps[-1].mean(dim=(2, 3))

    def _tokens(self, images: Tensor) -> Features:
        """Maps and pooled output of a plain transformer."""
        model: Any = self.model
        found = model(
            images, output_hidden_states=True, interpolate_pos_encoding=True)
        height, width = images.shape[-2:]
        grid = height // self.patch[0], width // self.patch[1]
        prefix = int(hasattr(model.embeddings, 'class_embedding'))
        maps = []
        for level in self.levels:  # the first state is the embedding
            tokens = found.hidden_states[level + 1]
            if self.norm:
                tokens = model.post_layernorm(tokens)
            maps.append(to_map(tokens, grid, prefix, self.card.name))
        return maps, found.pooler_output

    def own_weights(self, state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """Those of any class of the same model, as transformers converts
        them; all that the backbone has must be there."""
        model: Any = self.model
        try:
            with _quiet():
                found, info = type(model).from_pretrained(
                    None,
                    config=model.config,
                    state_dict=dict(state_dict),
                    output_loading_info=True,
                    dtype=torch.float32)
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f'transformers cannot read these weights for '
                f'{self.card.name}: {str(error).splitlines()[0][:160]}'
            ) from error
        missing = sorted(info['missing_keys'])
        if missing:  # transformers makes up random ones
            raise CheckpointError(
                f'the file lacks {len(missing)} weights of '
                f'{type(model).__name__}: {", ".join(missing[:2])}; save the '
                'folder from the backbone class, or take the model from '
                'timm::')
        return super().own_weights(found.state_dict())


@contextmanager
def _quiet() -> Iterator[None]:
    """Context without the bars and reports of transformers."""
    from transformers.utils import logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def _read_config(folder: str, name: str) -> Any:
    transformers = optional_package('transformers', f'the teacher {name}')
    try:
        return transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f'{name}: transformers {transformers.__version__} '
                          'cannot read config.json: '
                          f'{str(error).splitlines()[0][:160]}') from error


def _model_class(config: Any, name: str) -> Tuple[Any, bool]:
    """The class of a model, and whether it is a backbone class;
    ``AutoBackbone`` of transformers 5 would ask the hub for a folder."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_BACKBONE_MAPPING, MODEL_MAPPING)
    if type(config) in MODEL_FOR_BACKBONE_MAPPING:
        return MODEL_FOR_BACKBONE_MAPPING[type(config)], True
    if config.model_type in ('siglip_vision_model', 'clip_vision_model'):
        return MODEL_MAPPING[type(config)], False
    raise ConfigError(f'{name}: transformers has no backbone class for '
                      f'{config.model_type}; take the model from timm::')


def _strides(config: Any) -> Any:
    """Pixels of a cell of the last map of a pyramid."""
    patch = getattr(config, 'patch_size', 4)
    patch = patch if isinstance(patch, int) else patch[0]
    side = patch * 2**(config.out_indices[-1] - 1)
    return side, side


def read_card(folder: str,
              name: str,
              mean: Optional[Sequence[float]] = None,
              std: Optional[Sequence[float]] = None) -> Card:
    """Read the card of a folder, ``preprocessor_config.json``.

    Args:
        folder (str): The folder.
        name (str): Name of the model.
        mean (Sequence[float], optional): In place of the card's, from 0 to 1.
            Defaults to None.
        std (Sequence[float], optional): Likewise. Defaults to None.

    Raises:
        ConfigError: If there is none, and mean or std is not given.
    """
    path = osp.join(folder, 'preprocessor_config.json')
    card: Dict[str, Any] = {}
    if osp.isfile(path):
        try:
            with open(path, encoding='utf-8') as file:
                card = json.load(file)
        except ValueError as error:
            raise ConfigError(f'{path} is not JSON: {error}') from None
    # The card's numbers are for pixels that are multiplied by this factor.
    factor = card.get('rescale_factor', 1 / 255) \
        if card.get('do_rescale', True) else 1.
    found = [
        given or [value / (255 * factor) for value in card.get(key, ())]
        for key, given in (('image_mean', mean), ('image_std', std))
    ]
    if not all(found):
        raise ConfigError(
            f'{name}: there is no image_mean or image_std in {path}; give '
            'both, from 0 to 1, as in cfg=dict(..., mean=[0.5, 0.5, 0.5], '
            'std=[0.5, 0.5, 0.5])')
    return Card(name, found[0], found[1], _licence(folder))


def _licence(folder: str) -> str:
    """The licence in the header of ``README.md``, ``''`` if none is told."""
    path = osp.join(folder, 'README.md')
    if not osp.isfile(path):
        return ''
    with open(path, encoding='utf-8', errors='replace') as file:
        lines = file.read(8192).splitlines()
    found = [
        line.split(':', 1)[1].strip() for line in lines
        if line.startswith(('license:', 'license_name:'))
    ]
    return ', '.join(found)
