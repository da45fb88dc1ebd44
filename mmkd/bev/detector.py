"""Detectors in bird's-eye view for cameras, LiDAR or both."""
from typing import Dict, List, Optional, Tuple

from mmdet3d.models.detectors import Base3DDetector
from mmdet3d.registry import MODELS as MMDET3D_MODELS
from mmdet3d.structures import Det3DDataSample
from torch import Tensor

from mmkd.bev.depth import (complete_depth, depth_cross_entropy, pool_depth,
                            render_depth)
from mmkd.bev.geometry import CameraGeometry
from mmkd.errors import ConfigError
from mmkd.registry import MODELS


@MODELS.register_module()
class BEVDetector(Base3DDetector):
    """Sensors -> low-level BEV map -> BEV encoder -> high-level map -> head.

    Its parts determine which sensors it uses:

    - camera: ``img_backbone``, ``img_neck`` and ``view_transform``;
    - LiDAR: ``pts_voxel_encoder``, ``pts_middle_encoder`` and optionally
      ``pts_backbone``, whose last map is used;
    - both: all of these, and ``fusion_layer``.

    BEV encoder (``bev_backbone``, ``bev_neck``) and head are the same in all
    three cases, so their maps correspond: the low-level map is the input of
    ``bev_backbone``, the high-level maps are the outputs of ``bev_neck``.

    Inputs of other sensors in the batch are ignored. A camera detector needs
    points only for its depth loss, and none to predict. With
    ``depth_source='points'`` it uses the depth of the points instead of its
    prediction, like the assistant of MonoTAKD, and always needs points.

    Args:
        bev_backbone (dict): Config of the BEV encoder, such as ``SECOND``.
        bev_neck (dict): Config of its neck, such as ``SECONDFPN``.
        bbox_head (dict): Config of the head, such as ``CenterHead`` or
            ``Anchor3DHead``.
        img_backbone (dict, optional): Config of the image backbone.
        img_neck (dict, optional): Config of its neck; its first map is
            lifted. Without it, the last map of the backbone is.
        view_transform (dict, optional): Config of a
            :class:`~mmkd.bev.ViewTransform`.
        img_bev_encoder (dict, optional): Config of a module for the lifted
            map before the encoder or the fusion, such as ``HeightCollapse``
            or ``ResidualBranches``.
        depth_source (str): ``'predicted'``, or ``'points'``: the minimum or
            mean depth of the points in each pixel of the feature map; pixels
            without points contribute nothing. Defaults to ``'predicted'``.
        depth_pooling (str): ``'min'`` or ``'mean'``, for ``'points'``; see
            :func:`~mmkd.bev.pool_depth`. Defaults to ``'min'``.
        depth_completion (str, optional): ``'dilate'`` fills pixels between
            the points, for ``'points'``; see
            :func:`~mmkd.bev.complete_depth`. Defaults to None, which leaves
            them unknown.
        pts_voxel_encoder (dict, optional): Config of the voxel encoder.
        pts_middle_encoder (dict, optional): Config of the module that
            scatters voxels into a map.
        pts_backbone (dict, optional): Config of a backbone for this map, for
            example a ``SECOND`` with one stage that halves a map of pillars.
        fusion_layer (dict, optional): Config of the fusion of both maps,
            such as :class:`~mmkd.bev.ConvFuser`; the camera's map comes
            first.
        depth_loss_weight (float): Weight of the cross entropy between the
            predicted depth and the points. Defaults to 0: no such loss.
        train_cfg (dict, optional): The head's training config.
        test_cfg (dict, optional): The head's test config.
        data_preprocessor (dict, optional): Config of the preprocessor,
            ``Det3DDataPreprocessor``.
        init_cfg (dict, optional): Initialisation.

    Raises:
        ConfigError: If the parts make no detector.
    """

    def __init__(self,
                 bev_backbone: dict,
                 bev_neck: dict,
                 bbox_head: dict,
                 img_backbone: Optional[dict] = None,
                 img_neck: Optional[dict] = None,
                 view_transform: Optional[dict] = None,
                 img_bev_encoder: Optional[dict] = None,
                 depth_source: str = 'predicted',
                 depth_pooling: str = 'min',
                 depth_completion: Optional[str] = None,
                 pts_voxel_encoder: Optional[dict] = None,
                 pts_middle_encoder: Optional[dict] = None,
                 pts_backbone: Optional[dict] = None,
                 fusion_layer: Optional[dict] = None,
                 depth_loss_weight: float = 0.,
                 train_cfg: Optional[dict] = None,
                 test_cfg: Optional[dict] = None,
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.has_camera, self.has_lidar = _sensors(
            dict(img_backbone=img_backbone, view_transform=view_transform),
            dict(
                pts_voxel_encoder=pts_voxel_encoder,
                pts_middle_encoder=pts_middle_encoder), bool(fusion_layer))
        _check_depth(depth_source, depth_pooling, depth_completion)
        if depth_loss_weight and not self.has_camera:
            raise ConfigError('depth_loss_weight needs a camera')
        if not self.has_camera and (img_bev_encoder
                                    or depth_source == 'points'):
            raise ConfigError('img_bev_encoder and depth_source need a camera')
        parts = dict(
            img_backbone=img_backbone,
            img_neck=img_neck,
            view_transform=view_transform,
            img_bev_encoder=img_bev_encoder,
            pts_voxel_encoder=pts_voxel_encoder,
            pts_middle_encoder=pts_middle_encoder,
            pts_backbone=pts_backbone,
            fusion_layer=fusion_layer,
            bev_backbone=bev_backbone,
            bev_neck=bev_neck,
            bbox_head=dict(bbox_head, train_cfg=train_cfg, test_cfg=test_cfg))
        for name, part in parts.items():
            setattr(self, name,
                    None if part is None else MMDET3D_MODELS.build(part))
        self.depth_loss_weight = depth_loss_weight
        self.depth_source = depth_source
        self.depth_pooling = depth_pooling
        self.depth_completion = depth_completion
        self.train_cfg, self.test_cfg = train_cfg, test_cfg

    # ------------------------------------------------------------- features

    def extract_camera(
            self, inputs: dict,
            metas: List[dict]) -> Tuple[Tensor, Tensor, CameraGeometry]:
        """Lift the images of a batch.

        Args:
            inputs (dict): ``imgs`` (B, N, 3, H, W), and ``points`` if they
                provide the depth.
            metas (list[dict]): Meta information with the matrices; see
                :meth:`CameraGeometry.from_metas`.

        Returns:
            tuple: The map (B, C, ny, nx); depth logits (B * N, D, h, w); the
            geometry.
        """
        images = inputs.get('imgs')
        if images is None:
            raise ConfigError(
                'BEVDetector has cameras, but the batch has no images; put '
                "'mmkd.LoadMultiViewImages' into the pipeline and 'img' into "
                'the keys of its packing')
        if images.dim() == 4:
            images = images[:, None]
        geometry = CameraGeometry.from_metas(metas, images.shape[-2:],
                                             images.device)
        if geometry.num_cameras != images.size(1):
            raise ConfigError(f'{images.size(1)} images a sample, but '
                              f'matrices of {geometry.num_cameras} cameras')
        feats = self.img_backbone(images.flatten(0, 1))
        feat = feats[-1] if self.img_neck is None else self.img_neck(feats)[0]
        depth = None
        if self.depth_source == 'points':
            depth = self.view_transform.bins.one_hot(
                self._true_depth(inputs, geometry, feat.size(-1),
                                 self.depth_pooling, "depth_source='points'",
                                 self.depth_completion)).to(feat)
        bev, logits = self.view_transform(feat, geometry, depth)
        if self.img_bev_encoder is not None:
            bev = self.img_bev_encoder(bev)
        return bev, logits, geometry

    @staticmethod
    def _true_depth(inputs: dict,
                    geometry: CameraGeometry,
                    width: int,
                    pooling: str,
                    what: str,
                    completion: Optional[str] = None) -> Tensor:
        """Depth of the points at the resolution of the feature maps, (B * N,
        h, w)."""
        if 'points' not in inputs:
            raise ConfigError(f"{what} needs 'points' in the batch; without a "
                              "LiDAR set depth_source='predicted' and "
                              'depth_loss_weight=0')
        stride = -(-geometry.image_size[1] // width)
        depth = render_depth(inputs['points'], geometry)
        if completion:
            depth = complete_depth(depth)
        return pool_depth(depth, stride, pooling).flatten(0, 1)

    def extract_lidar(self, inputs: dict) -> Tensor:
        """Encode the points of a batch.

        Args:
            inputs (dict): ``points`` and ``voxels``.

        Returns:
            Tensor: The map (B, C, ny, nx).
        """
        voxels = inputs.get('voxels')
        if voxels is None:
            raise ConfigError(
                'BEVDetector has a LiDAR, but the batch has no voxels; the '
                "pipeline must pack 'points', and the data preprocessor needs "
                'voxel=True')
        feats = self.pts_voxel_encoder(voxels['voxels'], voxels['num_points'],
                                       voxels['coors'])
        # Not derived from the last voxel: the last samples may have no points.
        bev = self.pts_middle_encoder(feats, voxels['coors'],
                                      len(inputs['points']))
        if self.pts_backbone is not None:
            bev = self.pts_backbone(bev)
            bev = bev if isinstance(bev, Tensor) else bev[-1]
        return bev

    def extract_bev(self, inputs: dict,
                    metas: List[dict]) -> Dict[str, object]:
        """The maps of a batch.

        Args:
            inputs (dict): Output of the data preprocessor: ``imgs`` (B, N, 3,
                H, W), ``points`` and ``voxels``, for the sensors of the
                network.
            metas (list[dict]): Meta information of each sample.

        Returns:
            dict: ``low``, the low-level map (B, C1, H=y, W=x); ``high``, the
            list of high-level maps (B, C2, H, W) that the head gets; with
            cameras also ``depth``, logits (B * N, D, h, w), and
            ``geometry``.
        """
        maps, found = [], {}
        if self.has_camera:
            bev, found['depth'], found['geometry'] = self.extract_camera(
                inputs, metas)
            maps.append(bev)
        if self.has_lidar:
            maps.append(self.extract_lidar(inputs))
        if len(maps) == 2 and maps[0].shape[2:] != maps[1].shape[2:]:
            raise ConfigError(
                f'the map of the cameras, {tuple(maps[0].shape[2:])} cells, '
                f'does not fit that of the LiDAR, {tuple(maps[1].shape[2:])}')
        low = self.fusion_layer(maps) if len(maps) == 2 else maps[0]
        high = self.bev_neck(self.bev_backbone(low))
        return dict(low=low, high=list(high), **found)

    def extract_feat(
            self, batch_inputs: dict,
            batch_data_samples: List[Det3DDataSample]) -> List[Tensor]:
        """The high-level maps; see :meth:`extract_bev`."""
        return self.extract_bev(batch_inputs,
                                _metas(batch_data_samples))['high']

    # ---------------------------------------------------------------- modes

    def loss(self, batch_inputs_dict: dict,
             batch_data_samples: List[Det3DDataSample],
             **kwargs) -> Dict[str, Tensor]:
        """Losses of the head, and ``loss_depth`` if its weight is not 0."""
        found = self.extract_bev(batch_inputs_dict, _metas(batch_data_samples))
        losses = self.bbox_head.loss(found['high'], batch_data_samples,
                                     **kwargs)
        if self.depth_loss_weight:
            losses['loss_depth'] = self.depth_loss_weight * self._depth_loss(
                batch_inputs_dict, found['depth'], found['geometry'])
        return losses

    def _depth_loss(self, inputs: dict, logits: Tensor,
                    geometry: CameraGeometry) -> Tensor:
        depth = self._true_depth(inputs, geometry, logits.size(-1), 'min',
                                 'the depth loss')
        return depth_cross_entropy(logits, depth, self.view_transform.bins)

    def predict(self, batch_inputs_dict: dict,
                batch_data_samples: List[Det3DDataSample],
                **kwargs) -> List[Det3DDataSample]:
        """Boxes of each sample, as ``pred_instances_3d``."""
        high = self.extract_feat(batch_inputs_dict, batch_data_samples)
        found = self.bbox_head.predict(high, batch_data_samples, **kwargs)
        return self.add_pred_to_datasample(batch_data_samples, found)

    def _forward(self,
                 batch_inputs_dict: dict,
                 batch_data_samples: Optional[List[Det3DDataSample]] = None,
                 **kwargs) -> tuple:
        """Raw outputs of the head."""
        return self.bbox_head(
            self.extract_feat(batch_inputs_dict, batch_data_samples))


def _metas(data_samples: Optional[List[Det3DDataSample]]) -> List[dict]:
    return [sample.metainfo for sample in data_samples or []]


def _sensors(camera: Dict[str, Optional[dict]], lidar: Dict[str,
                                                            Optional[dict]],
             fused: bool) -> Tuple[bool, bool]:
    """Whether the parts include a camera branch and a LiDAR branch.

    Raises:
        ConfigError: If the parts do not form a detector.
    """
    for sensor in (camera, lidar):
        missing = [name for name, part in sensor.items() if not part]
        if len(missing) == 1:
            raise ConfigError(f'BEVDetector: {" and ".join(sensor)} '
                              f'belong together, but there is no '
                              f'{missing[0]}')
    has_camera, has_lidar = all(camera.values()), all(lidar.values())
    if not (has_camera or has_lidar):
        raise ConfigError('BEVDetector has no sensor: give img_backbone '
                          'and view_transform, or pts_voxel_encoder and '
                          'pts_middle_encoder, or all four')
    if (has_camera and has_lidar) != fused:
        raise ConfigError('BEVDetector takes a fusion_layer where it has '
                          'camera and LiDAR, and only there')
    return has_camera, has_lidar


def _check_depth(source: str, pooling: str, completion: Optional[str]) -> None:
    """Check the depth options.

    Raises:
        ConfigError: If one is unknown, or if they contradict each other.
    """
    if source not in ('predicted', 'points'):
        raise ConfigError("depth_source is 'predicted' or 'points', not "
                          f'{source!r}')
    if pooling not in ('min', 'mean'):
        raise ConfigError("depth_pooling is 'min' or 'mean', not "
                          f'{pooling!r}')
    if completion not in (None, 'dilate'):
        raise ConfigError("depth_completion is None or 'dilate', not "
                          f'{completion!r}')
    if completion and source != 'points':
        raise ConfigError('depth_completion is of the depth of points; it '
                          "needs depth_source='points'")
