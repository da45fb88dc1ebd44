#!/usr/bin/env python
"""Can a checkpoint run code, or exhaust the memory of the machine?

    acceptance/pickles.py

Malicious files are passed to everything that reads checkpoints: teachers, the
runner (load, resume, the last checkpoint of a work folder), test, export,
browsing, and mmengine's own loading of pretrained parts. Each must be refused,
or skipped in favour of the previous checkpoint, with a message that names it,
without running its code and without using more memory than a checkpoint needs.
The last cases are configs in a checkpoint, which must remain text.
"""
import builtins
import functools
import importlib
import io
import json
import marshal
import operator
import os
import os.path as osp
import pickle
import resource
import runpy
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmengine.config import Config, ConfigDict  # noqa: E402
from mmengine.logging import HistoryBuffer  # noqa: E402

from acceptance.common import finish, make_parser  # noqa: E402
from mmkd import apis  # noqa: E402
from mmkd.core.network import build_network  # noqa: E402
from mmkd.core.teacher import Teacher  # noqa: E402
from mmkd.errors import CheckpointError  # noqa: E402
from mmkd.testing import distillation_config  # noqa: E402
from mmkd.testing import segmentation_config, segmentor  # noqa: E402
from mmkd.utils.checkpoint import read_as_data, read_file  # noqa: E402

#: Maximum growth of the memory of the process over all files, in MiB.
MEMORY = 300
TERA = 1 << 42


class Call:
    """An object whose unpickling calls a function.

    Args:
        function (Callable): The function.
        args: Its arguments.
    """

    def __init__(self, function: Callable, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Tuple[Callable, tuple]:
        return self.call

    def __call__(self) -> None:
        """Make it callable, like the object that replaces it."""


class State:
    """An object that is unpickled as another class with a state.

    Args:
        kind (type): The class.
        args (tuple): Arguments of its constructor.
        state (Any): The state that it is given.
    """

    def __init__(self, kind: type, args: tuple, state: Any) -> None:
        self.parts = kind, args, state

    def __reduce__(self) -> tuple:
        return self.parts


def calls(mark: str) -> Dict[str, Any]:
    """Objects whose unpickling makes the file ``mark``.

    Args:
        mark (str): The file that must not be there afterwards.
    """
    shell, code = f'touch {mark}', f'open({mark!r}, "w").close()'
    owner = Call(getattr, HistoryBuffer, '__init__')
    space = Call(getattr, owner, '__globals__')
    partial = functools.partial
    return {
        'os.system':
        Call(os.system, shell),
        'os.popen':
        Call(os.popen, shell),
        'subprocess.run':
        Call(subprocess.run, ['touch', mark]),
        'subprocess.Popen':
        Call(subprocess.Popen, ['touch', mark]),
        'eval':
        Call(builtins.eval, code),
        'exec':
        Call(builtins.exec, code),
        'open':
        Call(builtins.open, mark, 'w'),
        'import':
        Call(builtins.__import__, 'antigravity'),
        'import_module':
        Call(importlib.import_module, 'antigravity'),
        'run_path':
        Call(runpy.run_path, mark),
        'partial':
        Call(partial(os.system, shell)),
        'partial object':
        partial(os.system, shell),
        'reduce':
        Call(functools.reduce, os.system, [shell]),
        'attrgetter':
        operator.attrgetter('system'),
        'methodcaller':
        operator.methodcaller('system', shell),
        'getattr':
        Call(Call(getattr, Call(__import__, 'os'), 'system'), shell),
        'getattr to globals':
        space,
        'getattr to builtins':
        Call(
            Call(getattr, Call(getattr, space, 'get'), '__call__'),
            '__builtins__'),
        'getattr of a tensor':
        Call(getattr, torch.Tensor, 'apply_'),
        'setattr':
        Call(setattr, HistoryBuffer, 'mean', os.system),
        'map':
        Call(map, os.system, [shell]),
        **indirect_calls(mark)
    }


def indirect_calls(mark: str) -> Dict[str, Any]:
    """Calls by functions of libraries, and by the state of objects."""
    shell = f'touch {mark}'

    code = f'open({mark!r}, "w").close()'
    loads = pickle.dumps(Call(os.system, shell))
    compiled = marshal.dumps(compile(code, 'x', 'exec'))
    return {
        'pickle.loads':
        Call(pickle.loads, loads),
        'torch.load':
        Call(torch.load, io.BytesIO(loads)),
        'torch storage':
        Call(torch.storage._load_from_bytes, loads),
        'torch.hub':
        Call(torch.hub.load, mark, 'x'),
        'marshal':
        Call(builtins.exec, Call(marshal.loads, compiled)),
        'numpy.load':
        Call(np.load, mark, None, True),
        'mmengine config':
        Call(Config.fromstring, code, '.py'),
        'mmengine lazy object':
        Call(importlib.import_module('mmengine.config.lazy').LazyObject, 'os'),
        'mmengine import':
        Call(
            importlib.import_module(
                'mmengine.utils').import_modules_from_strings, 'antigravity'),
        'a class of the user':
        Call(Call, print),
        'a state':
        State(HistoryBuffer, (),
              dict(_statistics_methods=Call(os.system, shell))),
        'a state of a dict':
        State(ConfigDict, (), Call(os.system, shell)),
        'a subclass of a tensor':
        State(torch.Tensor, (), (Call(os.system, shell), )),
        'an array of objects':
        np.array([Call(os.system, shell)], object),
    }


def opcodes(mark: str) -> Dict[str, bytes]:
    """Hand-written pickles with opcodes that no pickler writes.

    Args:
        mark (str): The file that must not be there afterwards.
    """
    shell = f'touch {mark}'.encode()
    text = b'X' + struct.pack('<I', len(shell)) + shell
    short = b'\x8c' + bytes([len(shell)]) + shell
    return {
        'INST':
        b'(S\'' + shell + b"'\nios\nsystem\n.",
        'OBJ':
        b'\x80\x02(cos\nsystem\n' + text + b'o.',
        'NEWOBJ':
        b'\x80\x02cos\nsystem\n' + text + b'\x85\x81.',
        'NEWOBJ_EX':
        b'\x80\x04\x8c\x02os\x8c\x06system\x93' + short + b'\x85}\x92.',
        'STACK_GLOBAL':
        b'\x80\x04\x8c\x02os\x8c\x06system\x93' + short + b'\x85R.',
        'GLOBAL of a dotted name':
        b'\x80\x04cos\npath.os.system\n' + text + b'\x85R.',
        'GLOBAL named as allowed':
        b'\x80\x02cbuiltins\ngetattr\ncos\n'
        b'__dict__\nX\x06\x00\x00\x00system\x86R.',
        'EXT1':
        b'\x80\x02\x82\x01.',
        'PERSID':
        b'Pos.system\n.',
        'BUILD':
        b'\x80\x02cmmengine.logging.history_buffer\nHistoryBuffer\n'
        b')\x81}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsb' + text + b'b.',
        'no end':
        b'\x80\x02' + b'(' * 10000,
        'deep':
        b'\x80\x02' + b']' * 10000 + b'a' * 9999 + b'.',
        'huge text':
        b'\x80\x02X' + struct.pack('<I', 0xfffffff0) + b'x',
        'huge bytes':
        b'\x80\x04\x8e' + struct.pack('<Q', TERA) + b'x',
        'huge integer':
        b'\x80\x02\x8b' + struct.pack('<i', 0x7ffffff0) + b'x',
        'huge memo':
        b'\x80\x02Kxr\xff\xff\xff\x7f.',
        'huge frame':
        b'\x80\x04\x95' + struct.pack('<Q', TERA) + b'N.',
    }


def archive(pickled: bytes, storages: Dict[str, bytes] = {}, **more: bytes) \
        -> bytes:
    """A file in torch's format with a given pickle.

    Args:
        pickled (bytes): The pickle.
        storages (dict[str, bytes]): Contents of tensors by number.
        more (bytes): Further entries by name.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as file:
        file.writestr('x/data.pkl', pickled)
        file.writestr('x/byteorder', 'little')
        for name, content in storages.items():
            file.writestr(f'x/data/{name}', content)
        file.writestr('x/version', '3\n')
        for name, content in more.items():
            file.writestr(f'x/{name.replace("_", ".")}', content)
    return buffer.getvalue()


def saved(content: Any, **kwargs: Any) -> bytes:
    """The bytes that torch writes for an object."""
    buffer = io.BytesIO()
    torch.save(content, buffer, **kwargs)
    return buffer.getvalue()


def legacy(bad: bytes, place: int) -> bytes:
    """torch's older format, a sequence of pickles, with one replaced."""
    system = dict(
        protocol_version=1001, little_endian=True, type_sizes=dict(int=4))
    parts = [
        pickle.dumps(part, 2)
        for part in (0x1950a86a20f9469cfc6c, 1001, system, {}, [])
    ]
    parts[place] = bad
    return b''.join(parts)


def archives(mark: str) -> Dict[str, bytes]:
    """Files with code in places other than a plain pickle.

    Args:
        mark (str): The file that must not be there afterwards.
    """
    bad = pickle.dumps(Call(os.system, f'touch {mark}'), 2)
    good = pickle.dumps(dict(state_dict={}), 2)
    inner = archive(bad)
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, 'w') as file:
        file.writestr('model.pth', inner)
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, 'w') as file:
        for content in (good, bad):
            file.writestr('x/data.pkl', content)
        file.writestr('x/version', '3\n')
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode='w') as file:
        for name in ('sys_info', 'pickle', 'tensors', 'storages'):
            info = tarfile.TarInfo(name)
            info.size = len(bad)
            file.addfile(info, io.BytesIO(bad))
    npz = io.BytesIO()
    np.savez(npz, np.array([Call(os.system, f'touch {mark}')], object))
    return {
        'a bare pickle':
        bad,
        'zip within zip':
        outer.getvalue(),
        'zip within a pickle':
        pickle.dumps(Call(torch.storage._load_from_bytes, inner), 2),
        'two pickles of a name':
        twice.getvalue(),
        'TorchScript':
        archive(good, constants_pkl=bad, **{'code/x_py': bad}),
        'a tar of pickles':
        tar.getvalue(),
        'numpy objects':
        npz.getvalue(),
        'a pickle before a zip':
        bad + archive(good),
        **{
            f'older format, pickle {place}': legacy(bad, place)
            for place in range(5)
        },
    }


def claims() -> Dict[str, bytes]:
    """Small files that claim to be huge."""
    plain = saved(dict(state_dict=dict(w=torch.arange(5000.))))
    number = pickle.dumps(5000, 2)[2:-1]
    huge = b'\x8a\x06' + TERA.to_bytes(6, 'little')
    with zipfile.ZipFile(io.BytesIO(plain)) as file:
        pickled = next(
            file.read(name) for name in file.namelist()
            if name.endswith('data.pkl'))
    content = bytes(20000)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('x/data.pkl', pickled)
        with file.open('x/data/0', 'w', force_zip64=True) as entry:
            for _ in range(256):
                entry.write(bytes(1 << 20))
        file.writestr('x/version', '3\n')
    older = saved(
        dict(w=torch.arange(5000.)), _use_new_zipfile_serialization=False)
    entry = archive(pickled, {'0': content})
    size = struct.pack('<II', 20000, 20000)
    nested: Any = {}
    for _ in range(60):
        nested = _Shared(nested)
    texts = json.dumps({
        'w':
        dict(dtype='F32', shape=[TERA], data_offsets=[0, 4 * TERA])
    }).encode()
    return {
        'storage and tensor':
        archive(pickled.replace(number, huge), {'0': content}),
        'tensor':
        archive(pickled[::-1].replace(number[::-1], huge[::-1], 1)[::-1],
                {'0': content}),
        'expanded tensor':
        saved(dict(state_dict=dict(w=torch.zeros(1).expand(TERA)))),
        'entries of an archive':
        entry.replace(size, struct.pack('<II', 0xfffffff0, 0xfffffff0)),
        'compressed':
        bomb.getvalue(),
        'older format':
        older.replace(number, huge),
        'array':
        saved(dict(state_dict={}, x=Call(np.ndarray, (1 << 36, ), 'u1'))),
        'shared dicts':
        saved(dict(state_dict={}, meta=nested)),
        'safetensors header':
        struct.pack('<Q', TERA) + b'{}',
        'safetensors tensor':
        struct.pack('<Q', len(texts)) + texts,
        'pickle as safetensors':
        pickle.dumps(Call(os.system, 'true'), 2),
    }


class _Shared:
    """A config dict that holds one other twice."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __reduce__(self) -> tuple:
        return ConfigDict, (dict(a=self.inner, b=self.inner), )


def write_files(folder: str, mark: str) -> Dict[str, str]:
    """Write all files.

    Args:
        folder (str): For the files.
        mark (str): The file that their code creates.

    Returns:
        dict[str, str]: Paths by the name of the case.
    """
    contents = {
        name: saved(dict(state_dict={}, meta=value))
        for name, value in calls(mark).items()
    }
    for name, pickled in opcodes(mark).items():
        contents[f'{name}, bare'] = pickled
        contents[f'{name} in an archive'] = archive(pickled)
    contents.update(archives(mark))
    contents.update({f'claim: {k}': v for k, v in claims().items()})
    paths = {}
    for number, (name, content) in enumerate(contents.items()):
        kind = 'safetensors' if 'safetensors' in name else 'pth'
        paths[name] = osp.join(folder, f'{number:03d}.{kind}')
        with open(paths[name], 'wb') as file:
            file.write(content)
    return paths


def doors(folder: str, data_root: str) -> Dict[str, Callable[[str], Any]]:
    """Everything that reads checkpoints, by name.

    Args:
        folder (str): Folder for their output.
        data_root (str): Folder of images; need not exist.
    """
    cfg = segmentation_config(data_root, osp.join(folder, 'run'))
    network = build_network(cfg, 'a network')
    distillation = distillation_config(cfg, dict(logits=dict(type='LogitsKD')))
    runner = apis.build_runner(apis.prepare_training(Config(cfg.to_dict())))
    read_as_data()

    def last(path: str) -> None:
        """Resume from a work folder that has it as its last checkpoint."""
        with tempfile.TemporaryDirectory() as work_dir:
            name = osp.join(work_dir, 'iter_2.pth')
            os.link(path, name)
            runner._work_dir, runner._load_from = work_dir, None
            runner._resume, runner._has_loaded = True, False
            try:
                runner.load_or_resume()
            except CheckpointError as error:
                raise CheckpointError(str(error).replace(name, path)) from None
            finally:
                runner._load_from = runner._found = None

    def zoo(path: str) -> None:
        """Pretrained parts, by the name of a model, as if downloaded."""
        from mmengine.runner import checkpoint
        with mock.patch('mmkd.utils.download._fetch', return_value=path):
            checkpoint.load_checkpoint(network, 'torchvision://resnet18')

    def pretrained(path: str) -> None:
        from mmengine.runner import load_checkpoint
        load_checkpoint(network, path)

    return dict(
        read=read_file,
        teacher=lambda path: Teacher(segmentor(4), path),
        load=runner.load_checkpoint,
        resume=runner.resume,
        last=last,
        test=lambda path: apis.test(cfg, path),
        export=lambda path: apis.export_student(distillation, path, folder),
        pretrained=pretrained,
        zoo=zoo)


def attempt(door: Callable[[str], Any], path: str,
            mark: str) -> Dict[str, Any]:
    """Pass a file to one reader.

    Args:
        door (Callable): The reader.
        path (str): The file.
        mark (str): What its code makes.
    """
    began, before = time.time(), _memory()
    try:
        door(path)
        said = 'loaded'
        refused = False
    except CheckpointError as error:
        said = str(error)
        refused = path in said
    except Exception as error:
        said = f'{type(error).__name__}: {error}'
        refused = False
    return dict(
        said=said.replace(path, 'FILE'),
        refused=refused,
        ran=osp.exists(mark) or 'antigravity' in sys.modules,
        seconds=round(time.time() - began, 2),
        mib=round(_memory() - before, 1))


def _memory() -> float:
    """Highest memory of the process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def configs(folder: str, mark: str) -> Iterator[Dict[str, Any]]:
    """Checkpoints whose config is code: they load, and the code stays text."""
    code = f'open({mark!r}, "w").close()'
    network = build_network(segmentor(4), 'a network')
    path = osp.join(folder, 'config.pth')
    torch.save(
        dict(
            state_dict=network.state_dict(),
            meta=dict(config=code, cfg=code, env_info=code)), path)
    for name, door in doors(folder, folder).items():
        if name in ('resume', 'last', 'zoo', 'test'):
            continue  # ask for more than weights, or for data
        door(path)
        yield dict(
            case=f'config in a checkpoint: {name}',
            passed=not osp.exists(mark))


def main(argv: Optional[List[str]] = None) -> int:
    """Try all files with all readers."""
    args = make_parser('pickles', __doc__).parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        mark = osp.join(folder, 'mark')
        files = write_files(folder, mark)
        readers = doors(folder, folder)
        if args.short:  # they share what reads the files
            readers = {k: readers[k] for k in ('teacher', 'last', 'zoo')}
        cases = []
        before = _memory()
        for name, path in files.items():
            tried = {
                door: attempt(reader, path, mark)
                for door, reader in readers.items()
                if not (path.endswith('.safetensors') and door in ('last',
                                                                   'zoo'))
            }
            wrong = {
                door: found
                for door, found in tried.items()
                if found['ran'] or not found['refused']
            }
            first = next(iter(tried.values()))
            cases.append(
                dict(
                    case=name,
                    passed=not wrong,
                    doors=len(tried),
                    said=first['said'],
                    seconds=max(found['seconds'] for found in tried.values()),
                    **(dict(wrong=wrong) if wrong else {})))
        grown = round(_memory() - before)
        tries = sum(case['doors'] for case in cases)
        cases.append(
            dict(
                case='memory of all that',
                passed=grown < MEMORY,
                mib=grown,
                allowed=MEMORY))
        cases += configs(folder, mark)
    return finish(
        args,
        cases,
        files=len(files),
        tries=tries,
        readers=list(readers),
        files_refused=sum(case['passed'] for case in cases[:len(files)]))


if __name__ == '__main__':
    sys.exit(main())
