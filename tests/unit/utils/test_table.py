from mmkd.utils.table import format_table


def test_table():
    text = format_table(['a', 'loss'], [['long name', 1.5], ['b', None]])
    assert text.splitlines() == [
        'a          loss', '---------  ----', 'long name   1.5',
        'b             -'
    ]
    assert format_table(['a', 'b'], []).splitlines()[0] == 'a  b'
