"""Configs of networks that run in milliseconds on a CPU."""
import copy
from typing import Any, Dict, Optional, Sequence

#: Image statistics of ImageNet, for pixels from 0 to 255 in RGB.
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


def _backbone(width: int, depth: int) -> dict:
    return dict(
        type='ResNet',
        depth=depth,
        base_channels=width,
        stem_channels=width,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type='BN'))


def segmentor(width: int = 4,
              num_classes: int = 19,
              size: Optional[Sequence[int]] = (32, 64),
              depth: int = 18,
              dropout_ratio: float = 0.1,
              auxiliary: bool = False,
              **preprocessor) -> dict:
    """A small segmentor of mmseg: a thin ResNet under an FCN head.

    Args:
        width (int): Channels of the first stage; stage ``i`` has
            ``width * 2**i``. Defaults to 4.
        num_classes (int): Number of classes. Defaults to 19.
        size (tuple[int, int], optional): Height and width in pixels that
            training images are padded to. Defaults to (32, 64).
        depth (int): Layers of the ResNet. Defaults to 18.
        dropout_ratio (float): Dropout of the heads. Defaults to 0.1.
        auxiliary (bool): Whether there is an auxiliary head. Defaults to
            False.
        preprocessor: More arguments of mmseg's ``SegDataPreProcessor``.

    Returns:
        dict: A whole config, with ``default_scope`` and ``model``.
    """

    def head(stage: int) -> dict:
        return dict(
            type='FCNHead',
            in_channels=width * 2**stage * (4 if depth >= 50 else 1),
            in_index=stage,
            channels=2 * width,
            num_convs=1,
            concat_input=False,
            dropout_ratio=dropout_ratio,
            num_classes=num_classes,
            norm_cfg=dict(type='BN'),
            align_corners=False)

    model = dict(
        type='EncoderDecoder',
        data_preprocessor={
            **dict(
                type='SegDataPreProcessor',
                mean=list(MEAN),
                std=list(STD),
                bgr_to_rgb=True,
                pad_val=0,
                seg_pad_val=255,
                size=tuple(size) if size else None),
            **preprocessor
        },
        backbone=_backbone(width, depth),
        decode_head=head(3),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'))
    if auxiliary:
        model['auxiliary_head'] = head(2)
    return dict(default_scope='mmseg', model=model)


def transformer_segmentor(width: int = 4,
                          num_classes: int = 19,
                          size: Optional[Sequence[int]] = (32, 64),
                          layers: int = 1,
                          kind: str = 'mit') -> dict:
    """A small segmentor of mmseg on a pyramid of transformers.

    Args:
        width (int): Channels of the first stage; the stages have 1, 2, 5 and
            8 times as many. Defaults to 4.
        num_classes (int): Number of classes. Defaults to 19.
        size (tuple[int, int], optional): Height and width in pixels that
            training images are padded to. Defaults to (32, 64).
        layers (int): Encoder layers per stage. Defaults to 1.
        kind (str): ``'mit'`` for SegFormer, or ``'pvt'`` for mmdet's PVTv2
            under a semantic FPN. Defaults to ``'mit'``.

    Returns:
        dict: A whole config, with ``default_scope`` and ``model``.
    """
    channels = [width * times for times in (1, 2, 5, 8)]
    config = segmentor(width, num_classes, size)
    head = dict(
        in_channels=channels,
        in_index=[0, 1, 2, 3],
        channels=2 * width,
        dropout_ratio=0.1,
        num_classes=num_classes,
        norm_cfg=dict(type='BN'),
        align_corners=False)
    backbone = dict(
        embed_dims=width, num_layers=[layers] * 4, num_heads=[1, 2, 5, 8])
    if kind == 'pvt':
        config['custom_imports'] = dict(imports=['mmdet.models'])
        config['model'].update(
            backbone=dict(type='mmdet.PyramidVisionTransformerV2', **backbone),
            neck=dict(
                type='FPN',
                in_channels=channels,
                out_channels=2 * width,
                num_outs=4),
            decode_head=dict(
                head,
                type='FPNHead',
                in_channels=[2 * width] * 4,
                feature_strides=[4, 8, 16, 32]))
    else:
        config['model'].update(
            backbone=dict(type='MixVisionTransformer', **backbone),
            decode_head=dict(head, type='SegformerHead'))
    return config


#: Type of the detector, its head and its assigner for each kind of
#: :func:`detector`.
_DENSE: Dict[str, Dict[str, Any]] = dict(
    retinanet=dict(
        type='RetinaNet',
        bbox_head=dict(
            type='RetinaHead',
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0)),
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1)),
    atss=dict(
        type='ATSS',
        bbox_head=dict(
            type='ATSSHead',
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_bbox=dict(type='GIoULoss', loss_weight=2.0)),
        assigner=dict(type='ATSSAssigner', topk=9)),
    gfl=dict(
        type='GFL',
        bbox_head=dict(
            type='GFLHead',
            loss_cls=dict(
                type='QualityFocalLoss', use_sigmoid=True, loss_weight=1.0),
            loss_bbox=dict(type='GIoULoss', loss_weight=2.0)),
        assigner=dict(type='ATSSAssigner', topk=9)),
    fcos=dict(type='FCOS', bbox_head=dict(type='FCOSHead')))


def detector(width: int = 4,
             num_classes: int = 3,
             channels: int = 8,
             kind: str = 'retinanet',
             stacked_convs: int = 1,
             **preprocessor) -> dict:
    """A small detector of mmdet with five levels.

    Args:
        width (int): Channels of the first stage; stage ``i`` has
            ``width * 2**i``. Defaults to 4.
        num_classes (int): Number of classes. Defaults to 3.
        channels (int): Channels of the neck and of the head. Defaults to 8.
        kind (str): ``'retinanet'``, ``'atss'``, ``'gfl'`` or ``'fcos'``.
            Defaults to ``'retinanet'``.
        stacked_convs (int): Convolutions in each branch of the head. Defaults
            to 1.
        preprocessor: More arguments of mmdet's ``DetDataPreprocessor``.

    Returns:
        dict: A whole config, with ``default_scope`` and ``model``.
    """
    strides = [8, 16, 32, 64, 128]
    known = copy.deepcopy(_DENSE[kind])
    head = dict(
        num_classes=num_classes,
        in_channels=channels,
        stacked_convs=stacked_convs,
        feat_channels=channels,
        **known['bbox_head'])
    if kind == 'fcos':
        head['strides'] = strides
    else:
        head['anchor_generator'] = dict(
            type='AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=1,
            ratios=[1.0],
            strides=strides)
        head.setdefault(
            'loss_cls',
            dict(type='FocalLoss', use_sigmoid=True, loss_weight=1.0))
    if kind != 'retinanet':
        head['norm_cfg'] = dict(type='GN', num_groups=2)
    model = dict(
        type=known['type'],
        data_preprocessor={
            **dict(
                type='DetDataPreprocessor',
                mean=list(MEAN),
                std=list(STD),
                bgr_to_rgb=True,
                pad_size_divisor=32),
            **preprocessor
        },
        backbone=_backbone(width, 18),
        neck=dict(
            type='FPN',
            in_channels=[width * 2**i for i in range(4)],
            out_channels=channels,
            start_level=1,
            add_extra_convs='on_input',
            num_outs=5),
        bbox_head=head,
        train_cfg=dict(
            assigner=known.get('assigner'),
            sampler=dict(type='PseudoSampler'),
            allowed_border=-1,
            pos_weight=-1),
        test_cfg=dict(
            nms_pre=100,
            min_bbox_size=0,
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=10))
    return dict(default_scope='mmdet', model=model)


def two_stage_detector(width: int = 4,
                       num_classes: int = 3,
                       channels: int = 8,
                       embedding: int = 16) -> dict:
    """A small Faster R-CNN of mmdet with five levels.

    Args:
        width (int): As in :func:`detector`. Defaults to 4.
        num_classes (int): Number of classes. Defaults to 3.
        channels (int): Channels of the neck and of the proposals' head.
            Defaults to 8.
        embedding (int): Channels of the box head. Defaults to 16.

    Returns:
        dict: A whole config, with ``default_scope`` and ``model``.
    """
    found = detector(width, num_classes, channels)
    model = found['model']
    del model['bbox_head']
    model['neck'].update(start_level=0, add_extra_convs=False)
    coder = dict(type='DeltaXYWHBBoxCoder')
    proposals = dict(
        nms_pre=50,
        max_per_img=30,
        nms=dict(type='nms', iou_threshold=.7),
        min_bbox_size=0)
    model.update(
        type='FasterRCNN',
        rpn_head=dict(
            type='RPNHead',
            in_channels=channels,
            feat_channels=channels,
            anchor_generator=dict(
                type='AnchorGenerator',
                scales=[4],
                ratios=[.5, 1., 2.],
                strides=[4, 8, 16, 32, 64]),
            bbox_coder=coder),
        roi_head=dict(
            type='StandardRoIHead',
            bbox_roi_extractor=dict(
                type='SingleRoIExtractor',
                roi_layer=dict(
                    type='RoIAlign',
                    output_size=3,
                    sampling_ratio=1,
                    use_torchvision=True),
                out_channels=channels,
                featmap_strides=[4, 8, 16, 32]),
            bbox_head=dict(
                type='Shared2FCBBoxHead',
                in_channels=channels,
                fc_out_channels=embedding,
                roi_feat_size=3,
                num_classes=num_classes,
                bbox_coder=coder)),
        train_cfg=dict(
            rpn=dict(
                assigner=_max_iou(.7, .3),
                sampler=_random_sampler(32),
                allowed_border=-1,
                pos_weight=-1),
            rpn_proposal=proposals,
            rcnn=dict(
                assigner=_max_iou(.5, .5),
                sampler=_random_sampler(16, add_gt_as_proposals=True),
                pos_weight=-1)),
        test_cfg=dict(
            rpn=proposals,
            rcnn=dict(
                score_thr=.05,
                nms=dict(type='nms', iou_threshold=.5),
                max_per_img=10)))
    return found


def cascade_detector(width: int = 4) -> dict:
    """The small Faster R-CNN with two stages of the RoI head.

    Args:
        width (int): As in :func:`detector`. Defaults to 4.

    Returns:
        dict: A whole config, with ``default_scope`` and ``model``.
    """
    found = two_stage_detector(width)
    model = found['model']
    head = model['roi_head']
    head.update(
        type='CascadeRoIHead',
        num_stages=2,
        stage_loss_weights=[1, 1],
        bbox_head=[head['bbox_head']] * 2)
    model['type'] = 'CascadeRCNN'
    model['train_cfg']['rcnn'] = [model['train_cfg']['rcnn']] * 2
    return found


def _max_iou(positive: float, negative: float) -> dict:
    return dict(
        type='MaxIoUAssigner',
        pos_iou_thr=positive,
        neg_iou_thr=negative,
        min_pos_iou=negative)


def _random_sampler(num: int, add_gt_as_proposals: bool = False) -> dict:
    return dict(
        type='RandomSampler',
        num=num,
        pos_fraction=.25,
        add_gt_as_proposals=add_gt_as_proposals)
