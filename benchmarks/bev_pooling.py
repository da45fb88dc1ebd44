#!/usr/bin/env python
"""The cost of pooling camera features into a map.

    benchmarks/bev_pooling.py

For nuScenes at full size (six images of 256 x 704 at stride 16, 112 depth
bins, 256 channels, 180 x 180 cells) and around it with more or fewer cameras,
bins and cells: CPU time and peak extra memory, forward and backward, of

    lifted     the product of depth and context as a tensor (B, N, D, h, w,
               C), then a sum over cells by index
    cumsum     the same product, sorted by cell in each step and summed by
               differences of a running sum, as the code of LSS does
    index_add  only products that fall into the map, summed by index
    fused      sums without products in memory, over a sorted index; `index`
               and `sort` are the costs of a new geometry

Each case runs in its own process, on one thread; times are CPU times. Extra
memory is the peak resident memory minus the memory after torch, inputs and
index are loaded. Values and gradients are compared with those of `lifted`.
"""
import argparse
import multiprocessing
import os
import platform
import sys
import time
from pathlib import Path
from typing import Callable, Dict, List, Tuple

# One thread, before torch is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from benchmarks.memory import forget_peak, peak, resident  # noqa: E402

#: The setting that the others differ from in one number.
BASE = dict(cameras=6, bins=112, cells=180, channels=256)
GROWTH = dict(
    cameras=(1, 2, 4, 6), bins=(28, 56, 112, 224), cells=(90, 180, 360))
IMAGE, STRIDE = (256, 704), 16
WAYS = ('lifted', 'cumsum', 'index_add', 'fused')


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--channels', type=int, default=BASE['channels'])
    parser.add_argument(
        '--image',
        type=int,
        nargs=2,
        default=IMAGE,
        metavar=('HEIGHT', 'WIDTH'),
        help='of each camera, in pixels')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument(
        '--no-growth', action='store_true', help='the first setting alone')
    parser.add_argument(
        '--out', default=str(ROOT / 'benchmarks/results/bev_pooling.json'))
    return parser.parse_args(argv)


def lifted(depth: Tensor, context: Tensor, index) -> Tensor:
    """The product of all depths and pixels, summed by index."""
    product = (depth[:, None] * context[:, :, None]).permute(0, 2, 3, 4, 1)
    rows = product.flatten(0, 3)[index.depth]
    return rows.new_zeros(index.num_cells,
                          rows.size(1)).index_add(0, index.cell, rows)


def cumsum(depth: Tensor, context: Tensor, index) -> Tensor:
    """The same with a sort and a running sum, in float64: in float32 the
    differences of long sums lose digits."""
    product = (depth[:, None] * context[:, :, None]).permute(0, 2, 3, 4, 1)
    rows = product.flatten(0, 3)[index.depth]
    cell, order = index.cell.sort()
    total = rows[order].double().cumsum(0)
    last = torch.ones_like(cell, dtype=torch.bool)
    last[:-1] = cell[1:] != cell[:-1]
    total = total[last]
    found = torch.cat([total[:1], total[1:] - total[:-1]]).to(rows)
    pooled = rows.new_zeros(index.num_cells, rows.size(1))
    return pooled.index_copy(0, cell[last], found)


def ways() -> Dict[str, Callable]:
    """All ways by name."""
    from mmkd.bev import lift_pool
    return dict(
        lifted=lifted,
        cumsum=cumsum,
        index_add=lambda *args: lift_pool(*args, 'index_add'),
        fused=lift_pool)


def ring(cameras: int, image: Tuple[int, int]):
    """Cameras of 70 degrees around the LiDAR, 1.6 m above the ground."""
    from mmkd.bev import CameraGeometry
    height, width = image
    cam2img = np.tile(np.eye(4), (cameras, 1, 1))
    cam2img[:, [0, 1], [0, 1]] = width / 2 / np.tan(np.radians(35))
    cam2img[:, :2, 2] = (width - 1) / 2, (height - 1) / 2
    lidar2cam = np.tile(np.eye(4), (cameras, 1, 1))
    for i in range(cameras):
        yaw = 2 * np.pi * i / cameras
        lidar2cam[i, :3, :3] = [[np.sin(yaw), -np.cos(yaw), 0], [0, 0, -1],
                                [np.cos(yaw), np.sin(yaw), 0]]
    return CameraGeometry.from_metas(
        [dict(cam2img=cam2img, lidar2cam=lidar2cam)], image)


def setting(cameras: int, bins: int, cells: int, channels: int,
            image: Tuple[int, int]) -> tuple:
    """Depth, context and a function that makes the index."""
    from mmkd.bev import LSSViewTransform
    size = tuple(side // STRIDE for side in image)
    transform = LSSViewTransform(4, 4, [-54, -54, -5, 54, 54, 3],
                                 [108 / cells, 108 / cells, 8],
                                 dict(low=2., high=58., num=bins))
    geometry = ring(cameras, image)
    generator = torch.Generator().manual_seed(0)
    depth = torch.randn((cameras, bins, *size), generator=generator)
    context = torch.randn((cameras, channels, *size), generator=generator)
    return (depth.softmax(1).requires_grad_(), context.requires_grad_(),
            lambda: transform.make_index(geometry, size))


def step(pool: Callable, depth: Tensor, context: Tensor,
         index) -> Tuple[float, float]:
    """CPU seconds of one forward and of its backward."""
    depth.grad = context.grad = None
    begin = time.process_time()
    loss = pool(depth, context, index).square().sum()
    middle = time.process_time()
    loss.backward()
    return middle - begin, time.process_time() - middle


def measure(way: str, rounds: int, **kwargs) -> Dict[str, float]:
    """Measure one way in this process.

    Args:
        way (str): One of :data:`WAYS`.
        rounds (int): Steps, of which the fastest counts.
        kwargs: Of :func:`setting`.

    Returns:
        dict[str, float]: Seconds, extra memory in MiB, entries of the index.
    """
    torch.set_num_threads(1)
    pool = ways()[way]
    # Code that is loaded on first use does not count.
    tiny = setting(1, 4, 90, 4, (32, 32))
    step(pool, *tiny[:2], tiny[2]())
    depth, context, make_index = setting(**kwargs)
    begin = time.process_time()
    index = make_index()
    index_seconds = time.process_time() - begin
    sort_seconds = 0.
    if way == 'fused':
        begin = time.process_time()
        index.in_cells, index.in_pixels  # noqa: B018  (made at first use)
        sort_seconds = time.process_time() - begin
    before = resident()
    forget_peak()
    times = [step(pool, depth, context, index) for _ in range(rounds)]
    forward, backward = min(times, key=sum)
    return dict(
        entries=len(index.cell),
        forward_seconds=forward,
        backward_seconds=backward,
        index_seconds=index_seconds,
        sort_seconds=sort_seconds,
        extra_mib=(peak() - before) / 2**20)


def run_case(args: argparse.Namespace, way: str, **kwargs) -> dict:
    """Measure one case in its own process."""
    # Forked from a process that has only imported modules.
    with multiprocessing.get_context('fork').Pool(1) as pool:
        found = pool.apply(measure, (way, args.rounds),
                           dict(kwargs, image=args.image))
    found = {key: round(value, 4) for key, value in found.items()}
    row = dict(way=way, **kwargs, **found)
    print('{way:>9} {cameras} cameras {bins:>3} bins {cells:>3}^2 cells  '
          'forward {forward_seconds:7.3f} s  backward {backward_seconds:7.3f} '
          's  index {index_seconds:.3f}  sort {sort_seconds:.3f}  extra '
          '{extra_mib:7.0f} MiB'.format(**row))
    return row


def differences(image: Tuple[int, int]) -> Dict[str, Dict[str, float]]:
    """Difference of each way from ``lifted``, relative to its maximum."""
    depth, context, make_index = setting(2, 28, 90, 8, image)
    index = make_index()
    found = {}
    for way, pool in ways().items():
        depth.grad = context.grad = None
        pooled = pool(depth, context, index)
        pooled.square().sum().backward()
        found[way] = dict(
            values=pooled.detach(),
            gradient_depth=depth.grad,
            gradient_context=context.grad)
    exact = found.pop('lifted')
    return {
        way: {
            name:
            float((value - exact[name]).abs().max() / exact[name].abs().max())
            for name, value in values.items()
        }
        for way, values in found.items()
    }


def main(argv=None) -> dict:
    """Run the benchmark."""
    args = parse_args(argv)
    from benchmarks.report import versions, write_result
    base = dict(BASE, channels=args.channels)
    rows = [run_case(args, way, **base) for way in WAYS]
    growth: Dict[str, List[dict]] = {}
    if not args.no_growth:
        for what, values in GROWTH.items():
            growth[what] = [
                run_case(args, way, **dict(base, **{what: value}))
                for value in values for way in ('lifted', 'fused')
            ]
    result = dict(
        setting=base,
        image=list(args.image),
        stride=STRIDE,
        batch_size=1,
        dtype='float32',
        threads=1,
        rounds=args.rounds,
        ways=rows,
        growth=growth,
        largest_relative_differences=differences(tuple(args.image)),
        machine=platform.machine(),
        versions=versions(),
        date=time.strftime('%Y-%m-%d'))
    write_result(args.out, result)
    return result


if __name__ == '__main__':
    main()
