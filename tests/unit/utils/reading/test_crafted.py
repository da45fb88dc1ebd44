"""Files that are made to do harm, each refused by one line."""
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from mmkd.errors import BrokenCheckpointError, CheckpointError
from mmkd.utils.checkpoint import read_file

TWO = b'\x80\x02'
FOUR = b'\x80\x04'
ORDERED = b'ccollections\nOrderedDict\n'
REBUILD = b'ctorch._utils\n_rebuild_tensor_v2\n'


def text(value):
    raw = value.encode()
    return b'X' + struct.pack('<I', len(raw)) + raw


def number(value):
    if 0 <= value < 256:
        return b'K' + bytes([value])
    raw = value.to_bytes(value.bit_length() // 8 + 1, 'little', signed=True)
    return b'\x8a' + bytes([len(raw)]) + raw


def tuple_of(*parts):
    return b'(' + b''.join(parts) + b't'


def storage(key='0', numel=4, kind='FloatStorage', module='torch', **more):
    return tuple_of(
        text(more.get('word', 'storage')), f'c{module}\n{kind}\n'.encode(),
        text(key), text('cpu'), number(numel)) + b'Q'


def tensor(offset=0, size=(4, ), stride=(1, ), of=None, grad=b'\x89'):
    return (
        REBUILD +
        tuple_of(of or storage(), number(offset), tuple_of(*map(number, size)),
                 tuple_of(*map(number, stride)), grad, ORDERED + b')R') + b'R')


def archive(pickled, storages=None, folder='x', change=None, **entries):
    """A file as torch writes it; ``change`` gets each entry's fields."""
    contents = {'data.pkl': pickled, 'byteorder': b'little'}
    contents.update({
        f'data/{key}': value
        for key, value in (storages or {
            '0': bytes(16)
        }).items()
    })
    contents.update(version=b'3\n')
    contents.update({
        key.replace('__', '/'): value
        for key, value in entries.items()
    })
    return pack(
        {
            f'{folder}/{name}': content
            for name, content in contents.items() if content is not None
        }, change)


def pack(contents, change=None, tail=b''):
    body, directory = b'', b''
    count = 0
    for name, content in contents.items():
        entry = dict(
            name=name.encode(),
            local_name=None,
            flags=0,
            local_flags=None,
            method=0,
            crc=zlib.crc32(content),
            packed=len(content),
            size=len(content),
            local_size=None,
            extra=b'',
            local_extra=b'',
            offset=len(body),
            content=content,
            repeat=1)
        if change:
            change(name, entry)
        local = entry['local_name'] or entry['name']
        size = entry['size'] if entry['local_size'] is None else entry[
            'local_size']
        flags = entry['flags'] if entry['local_flags'] is None else entry[
            'local_flags']
        body += struct.pack('<4s5H3I2H', b'PK\3\4', 0, flags, entry['method'],
                            0, 0, entry['crc'], size, size, len(local),
                            len(entry['local_extra'])
                            ) + local + entry['local_extra'] + entry['content']
        directory += struct.pack(
            '<4s6H3I5H2I', b'PK\1\2', 0, 0, entry['flags'], entry['method'],
            0, 0, entry['crc'], entry['packed'], entry['size'],
            len(entry['name']), len(entry['extra']), 0, 0, 0, 0,
            entry['offset']) * 1 + entry['name'] + entry['extra']
        count += 1
    end = struct.pack('<4s4H2IH', b'PK\5\6', 0, 0, count, count,
                      len(directory), len(body), len(tail))
    return body + directory + end + tail


def only(wanted, **fields):
    """Change the fields of one entry."""

    def change(name, entry):
        if name == wanted:
            entry.update(fields)

    return change


def dumped(value, protocol=2):
    return pickle.dumps(value, protocol)


def weights(pickled_tensor, storages=None):
    return archive(TWO + b'}' + text('w') + pickled_tensor + b's.', storages)


def array(state, reconstruct=b''):
    return TWO + (reconstruct or
                  b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n' +
                  tuple_of(number(0)) + b'C\1b\x87R') + state + b'b.'


F8 = b'cnumpy\ndtype\n' + text('f8') + b'\x89\x88\x87R'


def array_state(dtype=F8, shape=(1, ), content=b'C\x08' + bytes(8)):
    return tuple_of(
        number(1), tuple_of(*map(number, shape)), dtype, b'\x89', content)


GOOD = TWO + b'}.'
PICKLES = {
    'cut': (TWO + b'}', 'ends in the middle'),
    'empty stack': (TWO + b'.', 'more or less than one value'),
    'two values': (TWO + b'}}.', 'more or less than one value'),
    'open mark': (TWO + b'(}.', 'more or less than one value'),
    'something follows': (TWO + b'}.x', 'something follows its pickle'),
    'two pickles': (GOOD + GOOD, 'something follows its pickle'),
    'protocol 6': (b'\x80\x06}.', 'protocol 6'),
    'protocol again': (TWO + TWO + b'}.', 'protocol 2'),
    'unknown operation': (TWO + b'\xff.', 'no such operation'),
    'text integer': (TWO + b'I5\n.', 'operation INT'),
    'INST': (TWO + b'(ios\nsystem\n.', 'operation INST'),
    'OBJ': (TWO + b'(cos\nsystem\no.', 'os.system'),
    'EXT1': (TWO + b'\x82\x01.', 'operation EXT1'),
    'buffer': (b'\x80\x05\x97.', 'operation NEXT_BUFFER'),
    'NEWOBJ_EX': (FOUR + ORDERED + b')}\x92.', 'operation NEWOBJ_EX'),
    'os.system':
    (TWO + b'cos\nsystem\n' + text('true') + b'\x85R.', 'it names os.system'),
    'stack global': (FOUR + b'\x8c\x02os\x8c\x06system\x93.', 'os.system'),
    'global of numbers': (FOUR + b'K\1K\2\x93.', 'a name that is not a text'),
    'long name': (TWO + b'c' + b'x' * 600 + b'\nx\n.', 'a name without end'),
    'call of a text': (TWO + text('x') + b')R.', 'cannot be called'),
    'call of a dtype': (TWO + b'ctorch\nfloat32\n)R.', 'cannot be called'),
    'args no tuple': (TWO + ORDERED + b']R.', 'cannot be called'),
    'object of a set': (TWO + b'c__builtin__\nset\n)\x81.', 'not a class'),
    'object with arguments':
    (TWO + ORDERED + b'K\1\x85\x81.', 'that is not a class'),
    'attributes of a list':
    (TWO + b']}b.', 'attributes to something that has none'),
    'attributes of a tensor': (weights(tensor() + b'}b'),
                               'attributes to something that has none'),
    'methods of a dict': (TWO + ORDERED + b')R}' + text('keys') + b'Nsb.',
                          'unknown attributes'),
    'getattr':
    (TWO + b'c__builtin__\ngetattr\n' + ORDERED + text('fromkeys') + b'\x86R.',
     'attribute fromkeys of collections.OrderedDict'),
    'a function as data': (TWO + b'c_codecs\nencode\n.', 'no value'),
    'a storage as data': (archive(TWO + storage() + b'.'), 'no value'),
    'a storage type as data': (TWO + b'ctorch\nFloatStorage\n.', 'no value'),
    'codec':
    (TWO + b'c_codecs\nencode\n' + text('x') + text('punycode') + b'\x86R.',
     'encodes a text as punycode'),
    'bytearray': (TWO + b'c__builtin__\nbytearray\nJ\0\0\0\x40\x85R.',
                  'made of something else'),
    'huge bytearray': (b'\x80\x05\x96' + struct.pack('<Q', 1 << 40) + b'.',
                       'ends in the middle'),
    'huge text': (TWO + b'X\xf0\xff\xff\xffx', 'ends in the middle'),
    'huge bytes': (FOUR + b'\x8e' + struct.pack('<Q', 1 << 62), 'ends in'),
    'huge integer': (TWO + b'\x8b\xf0\xff\xff\x7f1', 'an integer of'),
    'negative integer': (TWO + b'\x8b\xff\xff\xff\xff1.', 'an integer of'),
    'long integer':
    (TWO + b'\x8b' + struct.pack('<i', 2000) + b'1' * 2000 + b'.',
     'an integer of 2000 bytes'),
    'huge frame': (FOUR + b'\x95' + struct.pack('<Q', 1 << 62) + b'N.',
                   'ends in the middle'),
    'huge memo': (TWO + b'}r\xff\xff\xff\x7f.', 'memo is too large'),
    'memo that is not there': (TWO + b'h\1.', 'is damaged'),
    'memo with a gap': (TWO + b'}q\3h\1\x86.', 'no value'),
    'negative string': (TWO + b'T\xff\xff\xff\xff.', 'negative length'),
    'lone surrogate': (TWO + b'X\3\0\0\0\xed\xa0\x80.', 'is damaged'),
    'deep': (TWO + b']' * 5000 + b'a' * 4999 + b'.', 'more than 100 levels'),
    'deep tuples': (TWO + b')' + b'\x85' * 5000 + b'.', 'more than 100'),
    'deep behind a short way':
    (TWO + b'(' + b'lq'.join([b'']) +
     b''.join(b']' +
              (b'(h' + bytes([i - 1]) + b'e' if i else b'') + b'q' + bytes([i])
              for i in range(200)) + b't.', 'more than 100 levels'),
    'itself': (TWO + b']q\0h\0a.', 'holds itself'),
    'itself in a dict': (TWO + b'}q\0' + text('a') + b']h\0as.',
                         'holds itself'),
    'shared lists':
    (TWO + b']q\0' +
     b''.join(b'](h' + bytes([i]) + b'h' + bytes([i]) + b'eq' + bytes([i + 1])
              for i in range(60)) + b'\x85.', 'more or less than one'),
    'a list for a key': (TWO + b'}]Ns.', 'list for a key'),
    'a huge key': (TWO + b'}' + number(1 << 61) + b'Ns.', 'for a key'),
    'a tensor for a key': (weights(b'N' + b's}' + tensor() + b'N'), 'a key'),
    'a nested tuple for a key': (TWO + b'})\x85Ns.', 'for a key'),
    'a key without value': (TWO + b'}(K\1u.', 'a key without a value'),
    'items for no dict': (TWO + b']K\1K\2s.', 'items for a dict'),
    'items for no list': (TWO + b'}K\1a.', 'items for a list'),
    'items for no set': (FOUR + b'}(K\1\x90.', 'items for a set'),
    'pop of nothing': (TWO + b'0.', 'is damaged'),
    'storage in a plain pickle': (TWO + tensor() + b'.', 'without any'),
    'a whole model': (TWO + b'cmodels.my\x1b[31m\nNet\n)\x81}b.',
                      'models.my\\x1b[31m.Net. Save its `state_dict`'),
    'array twice': (array(array_state() + b'b' + array_state()),
                    'attributes to something'),
    'array of objects': (array(
        array_state(
            dtype=b'cnumpy\ndtype\n' + text('O8') + b'\x89\x88\x87R',
            content=b']')), 'of the type `O8`'),
    'array from a list': (array(array_state(content=b']')),
                          'an array of Python objects'),
    'array of records': (array(
        array_state(dtype=b'cnumpy\ndtype\n' + text('V8') + b'\x89\x88\x87R')),
                         'of the type `V8`'),
    'array of times': (array(
        array_state(dtype=b'cnumpy\ndtype\n' + text('M8') + b'\x89\x88\x87R')),
                       '`M8`'),
    'array of big numbers': (array(
        array_state(dtype=F8 + tuple_of(
            number(3), text('>'), b'NNN', number(8), number(8), number(0)) +
                    b'b')), 'other byte order'),
    'array with fields': (array(
        array_state(dtype=F8 + tuple_of(
            number(3), text('<'), b'N}N', number(8), number(8), number(0)) +
                    b'b')), 'or of records'),
    'array of another width': (array(
        array_state(dtype=F8 + tuple_of(
            number(3), text('<'), b'NNN', number(64), number(8), number(0)) +
                    b'b')), 'wrong width'),
    'array too large': (array(array_state(shape=(1 << 36, ))),
                        'claims to hold 549755813888 bytes, and has 8'),
    'array too small': (array(array_state(shape=())), None),
    'array of a negative size': (array(array_state(shape=(-1, -1))),
                                 'no proper shape'),
    'array of overflowing size':
    (array(array_state(shape=(1 << 40, 1 << 40, 0),
                       content=b'C\0')), 'no proper shape'),
    'array of strange bools': (array(
        array_state(
            dtype=b'cnumpy\ndtype\n' + text('b1') + b'\x89\x88\x87R',
            content=b'C\1\2')), 'other numbers'),
    'array of no text': (array(
        array_state(
            dtype=b'cnumpy\ndtype\n' + text('U1') + b'\x89\x88\x87R',
            content=b'C\4\xff\xff\xff\xff')), 'holds no texts'),
    'array that is never filled':
    (TWO + b'cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n' +
     tuple_of(number(0)) + b'C\1b\x87R.', 'no value'),
    'array used before it is filled':
    (TWO + b'(cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n' +
     tuple_of(number(0)) + b'C\1b\x87Rq\0h\0' + array_state() + b'bt.',
     'no value'),
    'array of a subclass':
    (TWO + b'cnumpy.core.multiarray\n_reconstruct\nctorch\nTensor\n' +
     tuple_of(number(0)) + b'C\1b\x87R.', 'a class of its own'),
    'history of a call':
    (TWO + b'cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81}' +
     text('_log_history') + b'Nsb.', 'one of its histories is damaged'),
    'history with a name':
    (TWO + b'cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81}' +
     text('mean') + b'Nsb.', 'one of its histories is damaged'),
}
TENSORS = {
    'outside': (tensor(size=(5, )), 'reaches beyond its storage of 16'),
    'offset outside': (tensor(offset=5, size=(0, )), 'reaches beyond'),
    'offset near the end': (tensor(offset=1), 'reaches beyond'),
    'stride outside': (tensor(size=(2, ), stride=(4, )), 'reaches beyond'),
    'negative stride': (tensor(offset=3, stride=(-1, )), 'the strides (-1)'),
    'negative offset': (tensor(offset=-1), 'the offset -1'),
    'negative size': (tensor(size=(-1, )), 'the size (-1)'),
    'overflowing size':
    (tensor(size=(1 << 32, 1 << 32),
            stride=(0, 0)), 'the size (4294967296, 4294967296)'),
    'overflow to nothing':
    (tensor(size=(0, 1 << 40, 1 << 40), stride=(1, 1, 1)), 'the size (0, '),
    'overflowing stride': (tensor(size=(2, ),
                                  stride=(1 << 62, )), 'the strides'),
    'overflowing offset': (tensor(offset=(1 << 62) - 1), 'the offset'),
    'huge number': (tensor(offset=1 << 600), 'an integer of 601 bits'),
    'expanded': (tensor(size=(1 << 30, ), stride=(0, )),
                 'claims to hold 4294967296 bytes in one piece'),
    'many expanded':
    (b'(' + tensor(size=(1 << 18, ), stride=(0, )) * 100 + b't',
     'repeat their storages too often'),
    'rank': (tensor(stride=(1, 1)), 'the strides (1, 1)'),
    'too many dimensions': (tensor(size=(1, ) * 70, stride=(1, ) * 70),
                            'one of its tensors has the size'),
    'text for a size':
    (REBUILD + tuple_of(storage(), number(0), tuple_of(text('4')),
                        tuple_of(number(1)), b'\x89', ORDERED + b')R') + b'R',
     'one of its tensors has the size (4)'),
    'bool for a size':
    (REBUILD + tuple_of(storage(), number(0), tuple_of(b'\x88'),
                        tuple_of(number(1)), b'\x89', ORDERED + b')R') + b'R',
     'one of its tensors has the size'),
    'no storage':
    (REBUILD + tuple_of(text('0'), number(0), b')', b')', b'\x89', b'N') +
     b'R', 'has no storage'),
    'too few arguments': (REBUILD + b')R', 'is damaged'),
    'hooks':
    (REBUILD +
     tuple_of(storage(), number(0), b')', b')', b'\x89', b'}K\1K\1s') + b'R',
     'with hooks'),
    'gradient of integers':
    (tensor(of=storage(kind='IntStorage'), grad=b'\x88'), 'ask for gradients'),
    'storage that is missing': (tensor(of=storage('1')), 'storage 1 is miss'),
    'storage with dots': (tensor(of=storage('../x')), '../x is missing'),
    'larger storage': (tensor(of=storage(numel=5)), '16 bytes and claims'),
    'smaller storage': (tensor(of=storage(numel=3),
                               size=(1, )), '16 bytes and claims to be of 12'),
    'huge storage': (tensor(of=storage(numel=1 << 44)), '16 bytes and claims'),
    'negative storage': (tensor(of=storage(numel=-4)), 'no proper id'),
    'storage of two types':
    (b'(' + tensor() + tensor(of=storage(kind='IntStorage')) + b't',
     'two types or sizes'),
    'module': (tensor(of=storage(word='module')), 'whole model'),
    'odd id': (tensor(of=storage(word='x')), 'no proper id'),
    'id of a text': (tensor(of=text('0') + b'Q'), 'no proper id'),
    'quantised': (tensor(of=storage(kind='QInt8Storage')), 'quantised'),
    'sparse': (b'ctorch._utils\n_rebuild_sparse_tensor\n)R', 'sparse tensors'),
    'quantised tensor': (b'ctorch._utils\n_rebuild_qtensor\n)R', 'quantised'),
    'meta': (b'ctorch._utils\n_rebuild_meta_tensor_no_storage\n)R', '`meta`'),
    'bools': (tensor(of=storage(numel=16, kind='BoolStorage')),
              'bools holds other numbers'),
    'parameter of a text': (b'ctorch._utils\n_rebuild_parameter\n(' +
                            text('x') + b'\x88NtR', 'is not a tensor'),
    'a class of its own': (b'ctorch._tensor\n_rebuild_from_type_v2\n(' +
                           REBUILD + ORDERED + b')NtR', 'class of its own'),
    'a call in a type': (b'ctorch._tensor\n_rebuild_from_type_v2\n('
                         b'c_codecs\nencode\nctorch\nTensor\n)NtR',
                         'one of its tensors is damaged'),
    'size': (b'ctorch\nSize\n' + tuple_of(text('x')) + b'\x85R',
             'one of its sizes'),
    'device': (b'ctorch\ndevice\n' + text('x\x1b[1m') + b'\x85R',
               'one of its devices'),
}


def zip64(*numbers):
    raw = struct.pack(f'<{len(numbers)}Q', *numbers)
    return struct.pack('<2H', 1, len(raw)) + raw


FULL = 0xFFFFFFFF
ARCHIVES = {
    'cut': (archive(GOOD)[:-1], 'is not at its end'),
    'with a tail': (archive(GOOD) + b'x', 'is not at its end'),
    'with a comment': (pack({'x/data.pkl': GOOD},
                            tail=b'hello'), 'not at its end'),
    'head alone': (b'PK\3\4', 'ends before the directory'),
    'no pickle': (archive(None), 'without a checkpoint in it'),
    'two folders': (pack({
        'x/data.pkl': GOOD,
        'y/version': b'3'
    }), 'without a checkpoint in it'),
    'TorchScript': (archive(GOOD, **{'constants.pkl': GOOD}), 'TorchScript'),
    'exported': (archive(None, archive_format=b'pt2'), 'exported program'),
    'numpy': (pack({
        'a.npy': b'x',
        'b.npy': b'x'
    }), 'numpy arrays (.npz)'),
    'checkpoint inside': (pack({'m.pth': b'x'}), 'checkpoints in it'),
    'big': (archive(GOOD, byteorder=b'big'), 'byte order `big`'),
    'byte order of escapes': (archive(GOOD,
                                      byteorder=b'\x1b[1m'), "`\\x1b[1m`"),
    'long byte order': (archive(GOOD, byteorder=b'l' * 99), 'is too long'),
    'version 11': (archive(GOOD, version=b'11\n'), 'is of version 11'),
    'version x': (archive(GOOD, version=b'x'), 'the version `x`'),
    'compressed':
    (archive(GOOD, change=only('x/data.pkl',
                               method=8)), 'compressed entry x/data.pkl'),
    'packed': (archive(GOOD,
                       change=only('x/data.pkl',
                                   packed=3)), 'compressed entry x/data.pkl'),
    'encrypted': (archive(GOOD, change=only('x/data.pkl',
                                            flags=1)), 'encrypted'),
    'larger':
    (archive(GOOD, change=only('x/data/0', size=17,
                               packed=17)), 'does not follow the one before'),
    'much larger':
    (archive(GOOD, change=only('x/version', size=1 << 30,
                               packed=1 << 30)), 'beyond the file'),
    'smaller': (archive(GOOD, change=only('x/data/0', size=15, packed=15)),
                'does not follow the one before'),
    'last is smaller':
    (archive(GOOD, change=only('x/version', size=1,
                               packed=1)), 'something beside its entries'),
    'size differs': (archive(GOOD, change=only('x/data/0', local_size=15)),
                     'has another size or checksum there'),
    'name differs':
    (archive(GOOD, change=only('x/data/0',
                               local_name=b'x/data/1')), 'is another there'),
    'flags differ': (archive(GOOD,
                             change=only('x/data/0',
                                         local_flags=8)), 'is another there'),
    'offset': (archive(GOOD, change=only('x/data/0',
                                         offset=0)), 'does not follow'),
    'offset outside': (archive(GOOD, change=only('x/data/0', offset=1 << 30)),
                       'does not follow'),
    'two of a name':
    (archive(GOOD,
             change=only('x/version',
                         name=b'x/data.pkl')), 'several entries x/data.pkl'),
    'checksum': (archive(GOOD, change=only('x/data.pkl', crc=5)), 'CRC'),
    'checksum of a tensor':
    (archive(TWO + tensor() + b'.', change=only('x/data/0', crc=5)), 'CRC'),
    'NUL in a name': (archive(GOOD, change=only('x/version',
                                                name=b'x/a\0b')), 'a\\x00b'),
    'escape in a name':
    (archive(GOOD, change=only('x/version', name=b'x/\x1b[31m')), '\\x1b[31m'),
    'dots': (archive(GOOD, change=only('x/version',
                                       name=b'x/../y')), '`x/../y`'),
    'absolute': (archive(GOOD, change=only('x/version', name=b'/x')), '`/x`'),
    'backslash': (archive(GOOD, change=only('x/version',
                                            name=b'x\\y')), 'is named'),
    'folder': (archive(GOOD, change=only('x/version',
                                         name=b'x/y/')), '`x/y/`'),
    'no UTF-8': (archive(GOOD, change=only('x/version',
                                           name=b'x/\xff')), 'a broken name'),
    'zip64 without need':
    (archive(GOOD, change=only('x/data/0', extra=zip64(16))), 'a broken head'),
    'zip64 missing': (archive(
        GOOD, change=only('x/data/0', size=FULL,
                          packed=FULL)), 'a broken head'),
    'zip64 twice': (archive(
        GOOD,
        change=only('x/data/0', size=FULL, packed=16,
                    extra=zip64(16) * 2)), 'a broken head'),
    'zip64 of 2^63': (archive(
        GOOD,
        change=only(
            'x/data/0', size=FULL, packed=FULL,
            extra=zip64(1 << 63, 1 << 63))), 'beyond the file'),
    'zip64 cut': (archive(
        GOOD, change=only('x/data/0', size=FULL,
                          extra=zip64(16)[:-1])), 'a broken head'),
    'zip64 in front': (archive(
        GOOD,
        change=only('x/data/0', local_size=FULL, local_extra=zip64(16, 15))),
                       'has another size or checksum there'),
    'entries beyond the directory': (archive(GOOD).replace(
        b'\4\0\4\0', b'\5\0\5\0'), 'wrong size'),
    'fewer entries': (archive(GOOD).replace(b'\4\0\4\0', b'\3\0\3\0'),
                      'holds more than entries'),
    'parts': (archive(GOOD).replace(b'\4\0\4\0',
                                    b'\3\0\4\0'), 'names other parts'),
    'empty': (pack({}), 'does not start like a checkpoint'),
    'hidden in front': (b'PK\3\4hidden' + archive(GOOD), 'wrong size'),
}
OTHERS = {
    'empty': (b'', 'it is empty'),
    'zeros': (bytes(5000), 'zeros only'),
    'page': (b'\n<!DOCTYPE html><html>404</html>', 'a web page (HTML)'),
    'error': (b'<?xml version="1.0"?><Error/>', 'XML text'),
    'lfs': (b'version https://git-lfs.github.com/spec/v1\noid sha256:1\n',
            'git lfs pull'),
    'gzip': (b'\x1f\x8b\x08' + bytes(50), 'gunzip'),
    'tar': (b'a' * 257 + b'ustar' + bytes(300), 'tar archive'),
    'JSON': (b'{"message": "not found"}', 'JSON text'),
    'text': (b'Not Found\n', 'is a text'),
    'protocol 0': (b'(dp0\n.\xff', 'protocol 0 or 1'),
    'picture': (b'\x89PNG\r\n\x1a\n\0', 'PNG'),
    'array': (b'\x93NUMPY\1\0', 'numpy array'),
    'safetensors':
    (struct.pack('<Q', 2) + b'{}', 'rename it to *.safetensors'),
}


def refused(tmp_path, content, words, kind='pth'):
    path = tmp_path / f'a.{kind}'
    path.write_bytes(content)
    began = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        read_file(str(path))
    message = str(caught.value)
    assert words in message and message.startswith(str(path))
    assert message.isprintable() and len(message) < 600
    assert time.process_time() - began < 1 + len(content) / 2**20
    return caught.value


@pytest.mark.parametrize('name', PICKLES)
def test_pickle(tmp_path, name):
    content, words = PICKLES[name]
    if words is None:
        (tmp_path / 'a.pth').write_bytes(archive(content))
        assert read_file(str(tmp_path / 'a.pth')).shape == ()
        return
    if content[:2] != b'PK':
        if b'ctorch._utils' not in content:
            refused(tmp_path, content, words)
        if 'without any' not in words:
            content = archive(content)
    refused(tmp_path, content, words)


@pytest.mark.parametrize('name', TENSORS)
def test_tensor(tmp_path, name):
    content, words = TENSORS[name]
    refused(tmp_path, weights(content, {'0': bytes([2] * 16)}), words)


def test_crafted_files_differ_from_good_ones(tmp_path):
    path = tmp_path / 'a.pth'
    path.write_bytes(weights(tensor()))
    assert read_file(str(path))['w'].equal(torch.zeros(4))
    assert torch.load(path)['w'].equal(torch.zeros(4))
    path.write_bytes(archive(array(array_state())))
    assert read_file(str(path)) == np.zeros(1)


@pytest.mark.parametrize('name', ARCHIVES)
def test_archive(tmp_path, name):
    refused(tmp_path, *ARCHIVES[name])


@pytest.mark.parametrize('name', OTHERS)
def test_other_kinds(tmp_path, name):
    content, words = OTHERS[name]
    refused(tmp_path, content, words)
    if name != 'safetensors':
        (tmp_path / 'b.pth').write_bytes(content)
        with pytest.raises(CheckpointError):
            read_file(str(tmp_path / 'b.pth'), trusted=True)
    if name not in ('safetensors', 'protocol 0'):
        refused(tmp_path, content, words, 'safetensors')


def test_no_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe.pth')
    for path in (tmp_path / 'pipe.pth', tmp_path, '/dev/zero'):
        with pytest.raises(CheckpointError, match='is not a regular file'):
            read_file(str(path))


def legacy(change=None, **fields):
    buffer = io.BytesIO()
    torch.save(
        dict(w=torch.arange(4.)), buffer, _use_new_zipfile_serialization=False)
    content = buffer.getvalue()
    return change(content) if change else content


@pytest.mark.parametrize('change, words', [
    (lambda c: c[:-1], 'ends within its tensors'),
    (lambda c: c + b'x', 'something follows its tensors'),
    (lambda c: c + archive(GOOD), 'something follows its tensors'),
    (lambda c: c[:20], 'ends in the middle'),
    (lambda c: c.replace(b'M\xe9\x03.', b'M\xea\x03.'), 'another head'),
    (lambda c: c.replace(b'little_endianq\x02\x88', b'little_endianq\x02\x89'),
     'byte order `big`'),
    (lambda c: c[:-24] + struct.pack('<q', -1) + c[-16:], 'two sizes'),
    (lambda c: c[:-24] + struct.pack('<q', 5) + c[-16:], 'two sizes'),
    (lambda c: c.replace(b'K\x04N', b'M\0\x7fN'), 'in one piece'),
    (lambda c: c[:c.index(b']')] + b'].' + c[-24:], 'lists other storages'),
])
def test_older_format(tmp_path, change, words):
    refused(tmp_path, legacy(change), words)


def safetensors(head, data=b'', length=None):
    head = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack('<Q', len(head) if length is None else length) + \
        head + data


def entry(dtype='F32', shape=(1, ), offsets=(0, 4)):
    return dict(dtype=dtype, shape=list(shape), data_offsets=list(offsets))


@pytest.mark.parametrize('content, words', [
    (safetensors(dict(w=entry()), bytes(3)), 'claim 4 bytes of 3'),
    (safetensors(dict(w=entry()), bytes(5)), 'claim 4 bytes of 5'),
    (safetensors(dict(w=entry(offsets=(1, 5))), bytes(5)), 'does not follow'),
    (safetensors(dict(a=entry(), b=entry()), bytes(4)), 'does not follow'),
    (safetensors(dict(w=entry(shape=(2, ))), bytes(4)), 'than its shape'),
    (safetensors(dict(w=entry(shape=(1 << 40, 1 << 40, 0), offsets=(0, 0)))),
     'than its shape'),
    (safetensors(dict(w=entry(shape=(-1, -1))), bytes(4)), 'no proper size'),
    (safetensors(dict(w=entry(offsets=(4, 0))), bytes(4)), 'than its shape'),
    (safetensors(dict(w=entry(shape=('a', ))), bytes(4)), 'no proper size'),
    (safetensors(dict(w=entry(dtype='\x1b[1m'))), "type `\\x1b[1m`"),
    (safetensors(dict(w=entry(dtype='BOOL', offsets=(0, 1))), b'\2'), 'bools'),
    (safetensors(dict(w=[])), 'w of its header is damaged'),
    (safetensors(dict(w=dict(entry(), x=1))), 'w of its header is damaged'),
    (safetensors(dict(__metadata__=dict(a=1))), 'metadata is not text'),
    (safetensors(b'{"a": 1, "a": 2}'), 'a name twice'),
    (safetensors(b'{"a": ' + b'[' * 100000), 'too many levels'),
    (safetensors(b'{"a": NaN}'), 'not JSON'),
    (safetensors(b'{"a": 1e400}'), 'not JSON'),
    (safetensors(b'{"a": ' + b'9' * 5000 + b'}'), 'not JSON'),
    (safetensors(b'{\xff}'), 'not JSON'),
    (safetensors(b'{}', length=1 << 40), 'claims to be of 1099511627776'),
    (b'\1\2', 'ends within its header'),
    (archive(GOOD), 'rename it to *.pth'),
    (safetensors(b'{' + b'"":[],' * 400000), 'more memory'),
])
def test_safetensors(tmp_path, content, words):
    refused(tmp_path, content, words, 'safetensors')


def test_classes_of_errors(tmp_path):
    """A broken checkpoint lets a run go back to the one before; one that
    was made for something else does not."""
    broken = refused(tmp_path, archive(GOOD)[:-1], 'truncated, damaged')
    assert isinstance(broken, BrokenCheckpointError)
    other = refused(tmp_path, PICKLES['os.system'][0], 'trusted=True')
    assert not isinstance(other, BrokenCheckpointError)


MIB = 1 << 20
#: Small files that would take much more than they hold.
AMPLIFIERS = {
    'lists':
    lambda n: TWO + b']' * n + b'.',
    'sets':
    lambda n: FOUR + b'(' + b'\x8f' * n + b't.',
    'dicts':
    lambda n: TWO + b'(' + b'}NNs' * (n // 4) + b't.',
    'marks':
    lambda n: TWO + b'(' * n + b'.',
    'nothing':
    lambda n: TWO + b'(' + b'N' * n + b't.',
    'copies':
    lambda n: TWO + b'N' + b'2' * n + b'.',
    'memo':
    lambda n: FOUR + b'N' + b'\x94' * n + b'.',
    'ordered dicts':
    lambda n: TWO + ORDERED + b'q\0(' + b'h\0)R' * (n // 4) + b't.',
    'sets of one list':
    lambda n: TWO + b'c__builtin__\nset\nq\0](' + b''.join(b'M' + struct.pack(
        '<H', i) for i in range(20000)) + b'e\x85q\x010' + b'h\0h\1R0' *
    (n // 6) + b'N.',
    'encoded texts':
    lambda n: TWO + b'c_codecs\nencode\nq\0' + text('x' * n) + text(
        'latin1') + b'\x86q\x010' + b'h\0h\1R0' * (n // 6) + b'N.',
    'arrays of one state':
    lambda n: TWO +
    b'cnumpy.core.multiarray\n_reconstruct\nq\0cnumpy\nndarray\n' + tuple_of(
        number(0)) + b'C\1b\x87q\1' + array_state(
            shape=(n // 8, ),
            content=b'B' + struct.pack('<I', n // 8 * 8) + bytes(n // 8 * 8)
        ) + b'q\2' + b'h\0h\1Rh\2b0' * (n // 10) + b'0N.',
    'wide text':
    lambda n: TWO + b'X' + struct.pack(
        '<I', n + 4) + b'a' * n + '\U0001f600'.encode() + b'.',
    'colliding keys':
    lambda n: TWO + b'}(' + b''.join(
        number(i * ((1 << 61) - 1)) + b'N' for i in range(1, n // 14)) + b'u.',
    'keys of one end':
    lambda n: TWO + b'}(' + b''.join(
        number(i << 40) + b'N' for i in range(1, n // 10)) + b'u.',
    'tuples for keys':
    lambda n: TWO + b'}(' + (number(1) + number(2) + b'\x86N') *
    (n // 6) + b'u.',
    'shared lists':
    lambda n: TWO + b']q\0' + b''.join(
        b'](h' + bytes([i]) + b'h' + bytes([i]) + b'eq' + bytes([i + 1])
        for i in range(60)) + b'\x86' * 60 + b'.' + bytes(0 * n),
    'tensors':
    lambda n: weights(REBUILD + b'q\0' + tuple_of(storage(), number(
        0), b')', b')', b'\x89', b'N') + b'q\1R' + b'h\0h\1R' * (n // 5)),
    'entries':
    lambda n: pack({f'x/{i}': b''
                    for i in range(n // 80)}),
}
#: Those that take no more than is allowed.
HARMLESS = ('keys of one end', 'memo', 'nothing', 'wide text')


def peak_memory():
    """Of this process in bytes; `ru_maxrss` starts at that of its parent."""
    status = Path('/proc/self/status').read_text()
    return 1024 * int(status.split('VmHWM:')[1].split()[0])


def read_all(folder):
    """In a process of its own: time and memory of each file."""
    before = peak_memory()
    found = {}
    for path in sorted(Path(folder).iterdir()):
        began = time.process_time()
        try:
            read_file(str(path))
            said = None
        except CheckpointError as error:
            said = str(error)
        found[path.stem] = [
            time.process_time() - began,
            peak_memory() - before, said
        ]
    print(json.dumps(found))


def test_time_and_memory_grow_with_the_file(tmp_path):
    """64 MiB and a second for a MiB, but for noise."""
    for name, make in AMPLIFIERS.items():
        (tmp_path / f'{name}.pth').write_bytes(make(MIB))
    code = ('import sys; sys.path[:0] = sys.argv[1:3]; '
            'import test_crafted; test_crafted.read_all(sys.argv[3])')
    done = subprocess.run([
        sys.executable, '-W', 'ignore', '-c', code,
        str(Path(__file__).parent),
        str(Path(__file__).resolve().parents[4]),
        str(tmp_path)
    ],
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == set(AMPLIFIERS)
    for name, (seconds, memory, said) in found.items():
        assert seconds < 2.5, name
        assert memory < 66 * MIB, (name, found)
        assert (said is None) == (name in HARMLESS), (name, said)
        assert said is None or said.isprintable(), name


def test_good_archives_of_zipfile(tmp_path):
    """What people pack again by hand."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as file:
        file.writestr('x/data.pkl', TWO + tensor() + b'.')
        file.writestr('x/data/0', bytes(16))
    (tmp_path / 'a.pth').write_bytes(buffer.getvalue())
    assert read_file(str(tmp_path / 'a.pth')).equal(torch.zeros(4))
