#!/usr/bin/env python
"""Differences between networks in PyTorch and the same networks as ONNX.

    benchmarks/onnx_export.py

Converts one network of each family below, as `mmkd export --onnx` does, with
random weights and a small input. onnxruntime and PyTorch then compute two
images of noise, and one of them alone. Writes a JSON file, and the table in
docs/deployment.md.
"""
import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from mmengine.model import revert_sync_batchnorm  # noqa: E402

from mmkd.core.network import build_network  # noqa: E402
from mmkd.engine.onnx import check_packages, convert  # noqa: E402
from mmkd.families import family_of  # noqa: E402
from mmkd.families.base import image_channels  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

PAGE = ROOT / 'docs/deployment.md'
CONFIGS = (
    'mmdet::atss/atss_r50_fpn_1x_coco.py',
    'mmdet::autoassign/autoassign_r50-caffe_fpn_1x_coco.py',
    'mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco.py',
    'mmdet::conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
    'mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py',
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'mmdet::detr/detr_r18_8xb2-500e_coco.py',
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'mmdet::foveabox/fovea_r50_fpn_4xb4-1x_coco.py',
    'mmdet::fsaf/fsaf_r50_fpn_1x_coco.py',
    'mmdet::gfl/gfl_r50_fpn_1x_coco.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'mmdet::paa/paa_r50_fpn_1x_coco.py',
    'mmdet::reppoints/reppoints-moment_r50_fpn_1x_coco.py',
    'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',
    'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'mmdet::solo/solo_r50_fpn_1x_coco.py',
    'mmdet::tood/tood_r50_fpn_1x_coco.py',
    'mmdet::vfnet/vfnet_r50_fpn_1x_coco.py',
    'mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py',
    'mmdet::yolof/yolof_r50-c5_8xb8-1x_coco.py',
    'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
    'mmseg::bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py',
    'mmseg::danet/danet_r50-d8_4xb4-80k_ade20k-512x512.py',
    'mmseg::ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py',
    'mmseg::deeplabv3plus/deeplabv3plus_r18-d8_4xb4-80k_isaid-896x896.py',
    'mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py',
    'mmseg::hrnet/fcn_hr18_4xb4-80k_isaid-896x896.py',
    'mmseg::icnet/icnet_r18-d8_4xb2-80k_cityscapes-832x832.py',
    'mmseg::knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py',
    'mmseg::ocrnet/ocrnet_hr18_4xb4-80k_ade20k-512x512.py',
    'mmseg::pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py',
    'mmseg::pspnet/pspnet_r18-d8_4xb4-80k_isaid-896x896.py',
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    'mmseg::segnext/segnext_mscan-t_1xb16-adamw-160k_ade20k-512x512.py',
    'mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024.py',
    'mmseg::unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py',
    'mmseg::upernet/upernet_r18_4xb4-80k_ade20k-512x512.py',
)


def parse_args(argv: Any = None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--configs',
        nargs='+',
        default=CONFIGS,
        help='networks to convert; results of others are kept')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(128, 128),
        metavar=('HEIGHT', 'WIDTH'),
        help='of the input, in pixels')
    parser.add_argument(
        '--out', default=str(ROOT / 'benchmarks/results/onnx_export.json'))
    return parser.parse_args(argv)


def measure(config: Any, size: Sequence[int]) -> Dict[str, Any]:
    """Convert a network, and describe what differs."""
    torch.manual_seed(0)
    network = revert_sync_batchnorm(build_network(config, 'the network'))
    network.eval()
    images = torch.randn((2, image_channels(network), *size))
    family = family_of(network)
    started = time.monotonic()
    try:
        content, export = convert(network, images)
    except Exception as error:  # of the libraries, too
        return dict(library=family.name, error=str(error).splitlines()[0])
    return dict(
        library=family.name,
        network=type(network).__name__,
        shape=list(export.shape),
        opset=export.opset,
        outputs=[x.name for x in export.outputs],
        largest=max(x.largest for x in export.outputs),
        difference=max(x.difference for x in export.outputs),
        megabytes=round(len(content) / 1e6, 1),
        seconds=round(time.monotonic() - started, 1))


def table(networks: Dict[str, Dict[str, Any]]) -> str:
    """The results as a table in Markdown."""
    lines = [
        '| config | input | outputs | largest value | difference |',
        '|---|---|---|---|---|'
    ]
    for config, found in sorted(networks.items()):
        if 'error' in found:
            lines.append(f'| `{config}` | | not exported: '
                         f'{reason(found["error"])} | | |')
            continue
        names: List[str] = []
        for name in found['outputs']:
            name = re.sub(r'(_\d+)+$', '', name)
            if name not in names:
                names.append(name)
        lines.append(f'| `{config}` '
                     f'| {" x ".join(map(str, found["shape"]))} '
                     f'| {", ".join(f"`{x}`" for x in names)} '
                     f'| {found["largest"]:.3g} '
                     f'| {found["difference"]:.1e} |')
    return '\n'.join(lines)


def reason(error: str) -> str:
    """An error in a few words."""
    if 'not allocated yet' in error or 'an operator of mmcv' in error:
        return 'an operator of mmcv'
    if 'differs from PyTorch' in error:
        return 'the results differ'
    return error


def with_table(text: str, rows: str) -> str:
    """Put the table into the text of a page, between its two marks."""
    marks = '<!-- table: benchmarks/onnx_export.py -->', '<!-- end -->'
    start, rest = text.split(marks[0])
    end = rest.split(marks[1], 1)[1]
    return f'{start}{marks[0]}\n{rows}\n{marks[1]}{end}'


def main(argv: Any = None) -> Dict[str, Any]:
    """Convert all networks, and write the results after each of them."""
    args = parse_args(argv)
    check_packages()
    import onnx
    import onnxruntime
    out = Path(args.out)
    known = json.loads(out.read_text()) if out.exists() else {}
    result = dict(
        torch=torch.__version__,
        onnx=onnx.__version__,
        onnxruntime=onnxruntime.__version__,
        networks=known.get('networks', {}))
    for config in args.configs:
        found = measure(config, args.size)
        print(
            config,
            found.get('error') or f'{found["difference"]:.1e}',
            flush=True)
        result['networks'][config] = found
        out.write_text(json.dumps(result, indent=1, sort_keys=True) + '\n')
    if out.parent == ROOT / 'benchmarks/results' and PAGE.exists():
        text = PAGE.read_text(encoding='utf-8')
        PAGE.write_text(
            with_table(text, table(result['networks'])), encoding='utf-8')
    return result


if __name__ == '__main__':
    run(lambda: main() and None)
