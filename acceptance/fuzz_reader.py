#!/usr/bin/env python
"""Do mutated checkpoints crash, run code, or take memory or time?

    acceptance/fuzz_reader.py --minutes 60 --seed 0

Good files of each kind are changed at random, by seed: bytes, numbers, fields
of headers, operations of pickles, parts of one file in another. A process
with limited memory reads them. It must refuse each by one printable line or
load plain data, within max(64 MiB, 3 times the file) and a second for each
MiB. What fails is kept beside the result, with its seed.
"""
import argparse
import hashlib
import io
import json
import os
import os.path as osp
import pickle
import pickletools
import random
import resource
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MIB = 1 << 20
#: Seconds that a file may take beside its size, on a busy machine.
GRACE = 3.
BATCH = 2000
#: Modules whose audit events show that something was called.
CALLS = ('os', 'subprocess', 'socket', 'shutil')
#: Bytes that mean something to one format or another.
TOKENS = [
    b'PK\1\2', b'PK\3\4', b'PK\5\6', b'PK\6\6', b'PK\6\7', b'PK\7\x08',
    b'\xff' * 4, b'\xff' * 8,
    bytes(4),
    bytes(8), b'\0\0\0\x80', b'\xff\xff\xff\x7f', b'../', b'\x1b[31m', b'\n',
    b'cos\nsystem\n', b'X\4\0\0\0true\x85R',
    b'ctorch._utils\n_rebuild_tensor_v2\n',
    b'cnumpy.core.multiarray\n_reconstruct\n', b'cnumpy\nndarray\n',
    b'cnumpy\ndtype\n', b'ccollections\nOrderedDict\n', b'c__builtin__\nset\n',
    b'c__builtin__\nbytearray\n', b'c_codecs\nencode\n', b'"shape"',
    b'"data_offsets"', b'[[[[', b'{{', b'F32', b'BOOL', b'1e9'
]


def seeds() -> Dict[str, bytes]:
    """Good files by their names, small ones of each kind."""
    import numpy as np
    import torch
    from mmengine.logging import HistoryBuffer
    from safetensors.torch import save
    weights = dict(
        w=torch.arange(6.).view(2, 3).t(),
        b=torch.ones(2, dtype=torch.bfloat16),
        m=torch.tensor([True, False]),
        p=torch.nn.Parameter(torch.ones(1)),
        f=torch.ones(2).to(torch.float8_e5m2))
    training = dict(
        state_dict=torch.nn.BatchNorm1d(2).state_dict(),
        message_hub=dict(
            log_scalars=dict(loss=HistoryBuffer([1., 2.], [1, 1])),
            runtime_info=dict(iter=np.int64(3), text='x')),
        meta=dict(classes=('a', 'b'), array=np.array(['Car', 'x'])))
    infos = dict(
        metainfo=dict(a=1),
        data_list=[
            dict(a=[1.5, 2], b=np.eye(2), c=np.float32(1), d={'x'}, e=b'raw')
        ] * 2)
    found = {}
    for name, value in dict(weights=weights, training=training).items():
        for protocol in (2, 4):
            buffer = io.BytesIO()
            torch.save(value, buffer, pickle_protocol=protocol)
            found[f'{name}{protocol}.pth'] = buffer.getvalue()
    old = dict(w=torch.arange(6.), n=torch.ones(1, dtype=torch.int64))
    buffer = io.BytesIO()
    torch.save(old, buffer, _use_new_zipfile_serialization=False)
    found['old.pth'] = buffer.getvalue()
    found['weights.safetensors'] = save(
        dict(w=torch.ones(2, 3), b=torch.tensor([True])), dict(a='b'))
    for protocol in (2, 4, 5):
        found[f'infos{protocol}.pkl'] = pickle.dumps(infos, protocol)
    return found


def mutate(rng: random.Random, content: bytes, others: List[bytes]) -> bytes:
    """Change a file in one to four places."""
    if content[:2] == b'PK' and rng.random() < 0.6:
        return _mutate_inside(rng, content, others)
    raw = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        rng.choice(_CHANGES)(rng, raw, others)
    return bytes(raw)


def _mutate_inside(rng: random.Random, content: bytes,
                   others: List[bytes]) -> bytes:
    """Change the contents of an archive, whose directory stays right."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    name = rng.choice([*parts, *[x for x in parts if x.endswith('.pkl')] * 9])
    raw = bytearray(parts[name])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        rng.choice(_CHANGES)(rng, raw, others)
    parts[name] = bytes(raw)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as file:
        for key, value in parts.items():
            file.writestr(key, value)
    return buffer.getvalue()


def _place(rng: random.Random, raw: bytearray) -> int:
    return rng.randrange(len(raw)) if raw else 0


def _set_bit(rng: random.Random, raw: bytearray, _: List[bytes]) -> None:
    if raw:
        raw[_place(rng, raw)] ^= 1 << rng.randrange(8)


def _set_byte(rng: random.Random, raw: bytearray, _: List[bytes]) -> None:
    if raw:
        raw[_place(rng, raw)] = rng.randrange(256)


def _set_number(rng: random.Random, raw: bytearray, _: List[bytes]) -> None:
    place, width = _place(rng, raw), rng.choice((1, 2, 4, 8))
    value = rng.choice((0, 1, -1, 1 << (8 * width - 1), rng.getrandbits(64),
                        len(raw), rng.randrange(300), 1 << rng.randrange(64)))
    raw[place:place + width] = (value % (1 << 8 * width)).to_bytes(
        width, 'little')


def _cut(rng: random.Random, raw: bytearray, _: List[bytes]) -> None:
    place = _place(rng, raw)
    del raw[place:place + rng.choice((1, 2, 4, 8, rng.randrange(1, 200)))]


def _repeat(rng: random.Random, raw: bytearray, _: List[bytes]) -> None:
    place = _place(rng, raw)
    part = raw[place:place + rng.randrange(1, 40)]
    raw[place:place] = part * rng.choice((1, 2, 10, 300))


def _insert(rng: random.Random, raw: bytearray, _: List[bytes]) -> None:
    place, token = _place(rng, raw), rng.choice(TOKENS)
    raw[place:place + (len(token) if rng.random() < 0.5 else 0)] = token


def _splice(rng: random.Random, raw: bytearray, others: List[bytes]) -> None:
    other = rng.choice(others)
    start = rng.randrange(len(other))
    part = other[start:start + rng.randrange(1, 100)]
    place = _place(rng, raw)
    raw[place:place + rng.choice((0, len(part)))] = part


def _operation(rng: random.Random, raw: bytearray, _: List[bytes]) -> None:
    """Replace, repeat or add an operation where one starts."""
    start = max(raw.find(b'\x80'), 0)
    places = []
    try:
        for _, _, place in pickletools.genops(bytes(raw[start:])):
            places.append(start + place)
    except Exception:
        pass
    if not places:
        return
    code = rng.choice(pickletools.opcodes)
    place = rng.choice(places)
    args = rng.choice((b'', rng.randbytes(rng.choice((1, 2, 4, 8)))))
    raw[place:place + rng.choice((0, 1))] = code.code.encode('latin-1') + args


def _swap(rng: random.Random, raw: bytearray, _: List[bytes]) -> None:
    a, b, length = _place(rng, raw), _place(rng, raw), rng.randrange(1, 30)
    raw[a:a + length], raw[b:b + length] = (raw[b:b + length],
                                            raw[a:a + length])


_CHANGES: List[Callable] = [
    _set_bit, _set_byte, _set_number, _set_number, _cut, _repeat, _insert,
    _splice, _operation, _operation, _operation, _swap
]


def case(seed: int, number: int, files: Dict[str, bytes]) -> Tuple[str, bytes]:
    """The file of a number: kind, and content."""
    rng = random.Random(f'{seed}/{number}')
    name = rng.choice(sorted(files))
    return osp.splitext(name)[1], mutate(rng, files[name],
                                         list(files.values()))


def read(kind: str, path: str) -> str:
    """Read a file; what was said, or ``loaded``."""
    from mmkd.errors import MMKDError
    from mmkd.utils.checkpoint import read_file
    from mmkd.utils.index import read_index_file
    try:
        content = (read_index_file if kind == '.pkl' else read_file)(path)
    except MMKDError as error:
        said = str(error)
        if not said.isprintable() or len(said) > 700 or path not in said:
            raise ValueError(f'the message {said!r}') from None
        return said.replace(path, 'FILE')
    use(content)
    return 'loaded'


def use(content: Any) -> None:
    """Do what those who read a file do: look at and copy all of it."""
    import copy

    import numpy as np
    import torch
    copied = copy.deepcopy(content)
    left = [copied]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.values()
        elif isinstance(value, (list, tuple, set, frozenset)):
            left += value
        elif isinstance(value, torch.Tensor):
            value.detach().to(torch.complex128 if value.is_complex(
            ) else torch.float64).sum().item()
        elif isinstance(value, (np.ndarray, np.generic)):
            np.asarray(value).tolist()


def peak_memory() -> int:
    """The most memory that this process has had so far, in bytes."""
    # Not `ru_maxrss`, which starts at that of the process before it.
    with open('/proc/self/status', encoding='ascii') as file:
        return 1024 * next(
            int(line.split()[1]) for line in file if line.startswith('VmHWM'))


def worker(args: argparse.Namespace) -> None:
    """Read numbers of cases from standard input, write what came of each."""
    from mmkd.utils.reading import shown
    calls: List[str] = []

    def audit(event: str, found: tuple) -> None:
        if event.split('.')[0] in CALLS and \
                event not in ('os.listdir', 'os.scandir', 'os.putenv'):
            calls.append(event)
        if event == 'exec' and watched:
            calls.append(event)

    watched = False
    files = seeds()
    path = osp.join(args.folder, 'case')
    for kind, content in ((osp.splitext(k)[1], v) for k, v in files.items()):
        with open(path + kind, 'wb') as file:
            file.write(content)
        said = read(kind, path + kind)
        if said != 'loaded':
            raise RuntimeError(said)
    shown('\x1b')  # imports its codec
    memory = peak_memory()
    with open('/proc/self/statm', encoding='ascii') as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (limit + 512 * MIB, ) * 2)
    sys.addaudithook(audit)
    for line in sys.stdin:
        number = int(line)
        kind, content = case(args.seed, number, files)
        with open(path + kind, 'wb') as file:
            file.write(content)
        began = time.process_time()
        watched, failure = True, None
        calls.clear()
        try:
            said = read(kind, path + kind)
        except BaseException as error:
            said, failure = '', f'{type(error).__name__}: {error}'
        watched = False
        seconds = time.process_time() - began
        peak = peak_memory()
        if calls:
            failure = f'calls {sorted(set(calls))}'
        if seconds > GRACE + len(content) / MIB:
            failure = f'{seconds:.1f} s for {len(content)} bytes'
        if peak - memory > max(64 * MIB, 3 * len(content)):
            failure = f'{(peak - memory) // MIB} MiB'
        print(json.dumps([number, said, failure, seconds]), flush=True)


def start(args: argparse.Namespace, folder: str) -> subprocess.Popen:
    """A process that reads."""
    return subprocess.Popen([
        sys.executable, '-W', 'ignore', __file__, '--worker', '--seed',
        str(args.seed), '--folder', folder
    ],
                            stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE,
                            text=True)


def answers(args: argparse.Namespace,
            folder: str) -> Iterator[Tuple[int, str, Optional[str], float]]:
    """What came of each case, with new processes where one dies."""
    process, number = start(args, folder), 0
    end = time.time() + 60 * args.minutes
    while time.time() < end and (args.cases is None or number < args.cases):
        if number and number % BATCH == 0:  # its memory is measured by then
            process.stdin.close()
            process.wait()
            process = start(args, folder)
        try:
            process.stdin.write(f'{number}\n')
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ''
        if line:
            yield tuple(json.loads(line))
        else:
            status = process.wait()
            yield (number, '', f'died with {status}: '
                   f'{process.stderr.read()[-300:]}', 0.)
            process = start(args, folder)
        number += 1
    process.stdin.close()
    process.wait()


def keep(args: argparse.Namespace, number: int, failure: str,
         files: Dict[str, bytes]) -> Dict[str, Any]:
    """Keep the file of a case that fails."""
    kind, content = case(args.seed, number, files)
    name = f'{hashlib.sha256(content).hexdigest()[:12]}{kind}'
    os.makedirs(args.keep, exist_ok=True)
    with open(osp.join(args.keep, name), 'wb') as file:
        file.write(content)
    return dict(number=number, file=name, why=failure)


def main(argv: Optional[List[str]] = None) -> int:
    """Read mutated files, and store what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--minutes', type=float, default=60)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--cases', type=int, help='stop after so many')
    parser.add_argument(
        '--out', default=str(ROOT / 'acceptance/results/fuzz_reader.json'))
    parser.add_argument(
        '--keep',
        default=str(ROOT / 'work_dirs/fuzz_reader'),
        help='folder for the files that fail')
    parser.add_argument(
        '--worker', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument('--folder', help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.worker:
        worker(args)
        return 0
    import re
    import tempfile

    from benchmarks.report import versions, write_result
    began, files = time.time(), seeds()
    said: Counter = Counter()
    failures, tried, loaded, slowest = [], 0, 0, 0.

    def store(complete: bool) -> None:
        write_result(
            args.out,
            dict(
                seed=args.seed,
                complete=complete,
                tried=tried,
                refused=tried - loaded - len(failures),
                loaded=loaded,
                failed=len(failures),
                messages=len(said),
                slowest_seconds=round(slowest, 2),
                minutes=round((time.time() - began) / 60, 1),
                versions=versions(),
                failures=failures))

    with tempfile.TemporaryDirectory() as folder:
        for number, words, failure, seconds in answers(args, folder):
            tried += 1
            slowest = max(slowest, seconds)
            loaded += words == 'loaded'
            # Messages without what a file puts into them.
            said[re.sub(r'`.*?`|\(.*?\)|[\w./-]*[\d/_\\][\w./\\-]*', '#',
                        words)[:70]] += 1
            if failure is not None:
                failures.append(keep(args, number, failure, files))
                print(f'FAILED {failures[-1]}', flush=True)
            if tried % (5 * BATCH) == 0:  # if this process is killed
                store(complete=False)
    store(complete=True)
    print(f'fuzz_reader: {tried} tried, {len(failures)} failed')
    return 1 if failures or not tried else 0


if __name__ == '__main__':
    sys.exit(main())
