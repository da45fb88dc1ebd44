from mmkd.utils.arguments import argument_names, unknown_argument
from mmkd.utils.naming import did_you_mean
from mmkd.utils.table import format_table


def test_did_you_mean():
    known = ['neck', 'neck.convs', 'backbone', 'decode_head.conv_seg']
    assert did_you_mean('nek', known) == 'Did you mean neck?'
    assert 'decode_head.conv_seg' in did_you_mean('head.conv_seg', known)
    assert did_you_mean('zzz', known) == ''


def test_table():
    text = format_table(['a', 'loss'], [['long name', 1.5], ['b', None]])
    assert text.splitlines() == [
        'a          loss', '---------  ----', 'long name   1.5',
        'b             -'
    ]
    assert format_table(['a', 'b'], []).splitlines()[0] == 'a  b'


class Base:

    def __init__(self, one, two=2):
        pass


class Child(Base):

    def __init__(self, three=3, **kwargs):
        super().__init__(**kwargs)


def test_arguments():
    assert argument_names(Child) == ['three', 'one', 'two']
    error = TypeError('x')
    wrong = unknown_argument(Child, ['one', 'tow'], 'part', error)
    assert str(wrong).startswith(
        "part: Child has no argument 'tow'. Did you mean two")
    assert unknown_argument(Child, ['one'], 'part', error) is error
    try:
        Child()
    except TypeError as missing:
        wrong = unknown_argument(Child, [], 'part', missing)
    assert "part: " in str(wrong) and "'one'" in str(wrong)
