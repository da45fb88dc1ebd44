"""A machine that runs pickles, and can do nothing but build plain data."""
import pickletools
import struct
from sys import getsizeof
from typing import Any, Callable, Dict, List, Optional

from .faults import Budget, Damaged, Forbidden, shown
from .known import (UNSET, Array, Known, check_key, find_known, give_state,
                    make_array)
from .stream import Stream

#: Operations between two looks at the memory of the stack.
_STRIDE = 1024
#: Memory of what is made, in bytes, as CPython on 64 bits takes it.
_MARK, _LIST, _DICT, _SET, _SLOT, _CALL = 96, 56, 64, 216, 9, 64
_MAX_NAME = 512  # bytes of the module or name of a class

_UINT32 = struct.Struct('<I').unpack_from


class _Stop(Exception):
    """The pickle is over."""


class Machine(Stream):
    """Runs one pickle of protocol 2 to 5.

    What a pickle may name is listed in :mod:`.known`, and stands for checked
    builders there: nothing is imported, looked up in modules, or called by
    a name from the file.

    Args:
        content (bytes): The file, or the part with the pickle.
        budget (Budget): Pays for all that is made.
        load_storage (Callable, optional): Takes a persistent id, returns the
            storage of tensors. Defaults to None, for pickles without any.
        start (int): Where the pickle starts. Defaults to 0.
    """

    def __init__(self,
                 content: bytes,
                 budget: Budget,
                 load_storage: Optional[Callable[[Any], Any]] = None,
                 start: int = 0) -> None:
        super().__init__(content, budget, start)
        self.load_storage = load_storage
        # Stacks below the marks, and how many items they hold together.
        self.below: List[List[Any]] = []
        self.held = 0
        self.memo: List[Any] = []

    def run(self) -> Any:
        """Run it.

        Returns:
            Any: What was built, to be checked by :func:`.plain.check_plain`.

        Raises:
            Damaged: If it is not a pickle, or takes too much memory.
            Forbidden: If it names anything that is not plain data.
        """
        table = self._table()
        content = self.content
        try:
            while True:
                for _ in range(_STRIDE):
                    code = content[self.place]
                    self.place += 1
                    table[code]()
                self._check_stack()
        except _Stop:
            return self.stack[-1]
        except (IndexError, struct.error):
            reason = 'ends in the middle' if self.place >= len(
                content) else 'is damaged'
        except (TypeError, ValueError, OverflowError) as error:
            reason = f'is damaged ({shown(str(error))})'
        raise Damaged(f'its pickle {reason}, at byte {self.place}')

    def _table(self) -> List[Callable[[], None]]:
        """What to do for each value of a byte."""

        def refuse() -> None:
            code = chr(self.content[self.place - 1])
            known = pickletools.code2op.get(code)
            if known is None:
                raise ValueError('there is no such operation')
            raise Forbidden(
                'holds a pickle with the operation '
                f'{known.name}, which no checkpoint needs; save it again '
                'with a current version of torch')

        table: List[Callable[[], None]] = [refuse] * 256
        for code, name in _OPERATIONS.items():
            table[code] = getattr(self, name)
        return table

    def _check_stack(self) -> None:
        held = self.held + len(self.stack)
        if held * _SLOT + len(self.below) * _MARK > self.budget.left:
            self.budget.charge(self.budget.left + 1)

    # ------------------------------------------------------ stack, memo

    def mark(self) -> None:
        self.below.append(self.stack)
        self.held += len(self.stack)
        self.stack = []

    def _since_mark(self) -> List[Any]:
        items = self.stack
        self.stack = self.below.pop()
        self.held -= len(self.stack)
        return items

    def pop(self) -> None:
        # Above a mark, it is the mark that goes.
        if self.stack:
            self.stack.pop()
        else:
            self._since_mark()

    def pop_mark(self) -> None:
        self._since_mark()

    def memoize(self) -> None:
        self.memo.append(self.stack[-1])
        self.budget.left -= _SLOT

    def put8(self) -> None:
        self._put(self._take(1)[0])

    def put32(self) -> None:
        self._put(_UINT32(self._take(4))[0])

    def _put(self, index: int) -> None:
        memo = self.memo
        self.budget.left -= _SLOT
        if index == len(memo):
            memo.append(self.stack[-1])
            return
        if index > len(memo):
            if index > len(self.content):
                raise ValueError('a number of the memo is too large')
            self.budget.charge(_SLOT * (index + 1 - len(memo)))
            memo.extend([UNSET] * (index + 1 - len(memo)))
        memo[index] = self.stack[-1]

    def get8(self) -> None:
        self.stack.append(self.memo[self.content[self.place]])
        self.place += 1

    def get32(self) -> None:
        self.stack.append(self.memo[_UINT32(self.content, self.place)[0]])
        self.place += 4

    def stop(self) -> None:
        if len(self.stack) != 1 or self.below:
            raise ValueError('it ends with more or less than one value')
        raise _Stop

    # ------------------------------------------------------- containers

    def empty_list(self) -> None:
        self.stack.append([])
        self.budget.left -= _LIST

    def empty_dict(self) -> None:
        self.stack.append({})
        self.budget.left -= _DICT

    def empty_set(self) -> None:
        self.stack.append(set())
        self.budget.left -= _SET

    def empty_tuple(self) -> None:
        self.stack.append(())

    def tuple1(self) -> None:
        self._tuple(1)

    def tuple2(self) -> None:
        self._tuple(2)

    def tuple3(self) -> None:
        self._tuple(3)

    def _tuple(self, length: int) -> None:
        stack = self.stack
        if len(stack) < length:
            raise IndexError
        items = tuple(stack[-length:])
        del stack[-length:]
        stack.append(items)
        self.budget.left -= _LIST + 8 * length

    def tuple_of_mark(self) -> None:
        items = tuple(self._since_mark())
        self.stack.append(items)
        self.budget.charge(_LIST + 8 * len(items))

    def frozen_set(self) -> None:
        items = self._checked_set(self._since_mark())
        self.stack.append(frozenset(items))

    def add_items(self) -> None:
        items = self._checked_set(self._since_mark())
        target = self.stack[-1]
        if type(target) is not set:
            raise TypeError('items for a set without a set')
        target |= items

    def _checked_set(self, items: List[Any]) -> set:
        for item in items:
            check_key(item, self.budget)
        self.budget.charge(2 * (_SET + 64 * len(items)))
        return set(items)

    def append(self) -> None:
        item = self.stack.pop()
        self._extend([item])

    def appends(self) -> None:
        self._extend(self._since_mark())

    def _extend(self, items: List[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError('items for a list without a list')
        before = getsizeof(target)
        target.extend(items)
        self.budget.charge(getsizeof(target) - before)

    def set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def set_items(self) -> None:
        self._update(self._since_mark())

    def _update(self, items: List[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise TypeError('items for a dict without a dict')
        if len(items) % 2:
            raise ValueError('a key without a value')
        before, budget = getsizeof(target), self.budget
        for i in range(0, len(items), 2):
            key = items[i]
            if type(key) is not str:
                check_key(key, budget)
            target[key] = items[i + 1]
        budget.charge(getsizeof(target) - before)

    # ----------------------------------------------- what has a name

    def global_name(self) -> None:
        names = []
        for _ in range(2):
            end = self.content.find(b'\n', self.place,
                                    self.place + _MAX_NAME + 1)
            if end < 0:
                raise ValueError('a name without end')
            names.append(self._take(end - self.place).decode('utf-8'))
            self.place += 1
        self.stack.append(find_known(*names))

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise TypeError('a name that is not a text')
        self.stack.append(find_known(module[:_MAX_NAME], name[:_MAX_NAME]))

    def reduce(self) -> None:
        args, known = self.stack.pop(), self.stack.pop()
        if type(known) is not Known or type(args) is not tuple:
            raise TypeError('a call of something that cannot be called')
        self.budget.charge(_CALL)
        value = known.build(args, self.budget)
        if type(value) is Array:
            value.index = self._next_index()
        self.stack.append(value)

    def new_object(self) -> None:
        args, known = self.stack.pop(), self.stack.pop()
        if type(known) is not Known or not known.empty or args != ():
            raise TypeError('an object of something that is not a class')
        self.budget.charge(_CALL)
        self.stack.append(known.build((), self.budget))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is not Array:
            give_state(target, state, self.budget)
            return
        # Arrays are made when all of them is known, in place of what has
        # stood for them so far.
        array = self.stack[-1] = make_array(state, self.budget)
        index = target.index
        if index is not None and self.memo[index] is target:
            self.memo[index] = array

    def _next_index(self) -> Optional[int]:
        """Where the memo will keep the top of the stack."""
        code = self.content[self.place]
        if code == 0x94:
            return len(self.memo)
        if code == 0x71:
            return self.content[self.place + 1]
        if code == 0x72:
            return _UINT32(self.content, self.place + 1)[0]
        return None

    def persistent_id(self) -> None:
        if self.load_storage is None:
            raise ValueError('a storage of tensors, in a pickle without any')
        self.budget.charge(_CALL)
        self.stack.append(self.load_storage(self.stack.pop()))


_OPERATIONS: Dict[int, str] = {
    0x80: 'proto',
    0x95: 'frame',
    ord('.'): 'stop',
    ord('N'): 'none',
    0x88: 'true',
    0x89: 'false',
    ord('K'): 'int8',
    ord('M'): 'int16',
    ord('J'): 'int32',
    ord('G'): 'float64',
    0x8a: 'long1',
    0x8b: 'long4',
    0x8c: 'text8',
    ord('X'): 'text32',
    0x8d: 'text64',
    ord('C'): 'bytes8',
    ord('B'): 'bytes32',
    0x8e: 'bytes64',
    0x96: 'bytearray64',
    ord('U'): 'string8',
    ord('T'): 'string32',
    ord('('): 'mark',
    ord('0'): 'pop',
    ord('1'): 'pop_mark',
    0x94: 'memoize',
    ord('q'): 'put8',
    ord('r'): 'put32',
    ord('h'): 'get8',
    ord('j'): 'get32',
    ord(']'): 'empty_list',
    ord('}'): 'empty_dict',
    0x8f: 'empty_set',
    ord(')'): 'empty_tuple',
    0x85: 'tuple1',
    0x86: 'tuple2',
    0x87: 'tuple3',
    ord('t'): 'tuple_of_mark',
    0x91: 'frozen_set',
    0x90: 'add_items',
    ord('a'): 'append',
    ord('e'): 'appends',
    ord('s'): 'set_item',
    ord('u'): 'set_items',
    ord('c'): 'global_name',
    0x93: 'stack_global',
    ord('R'): 'reduce',
    0x81: 'new_object',
    ord('b'): 'build',
    ord('Q'): 'persistent_id',
}
