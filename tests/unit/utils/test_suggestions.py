from mmkd.utils.suggestions import did_you_mean


def test_did_you_mean():
    known = ['neck', 'neck.convs', 'backbone', 'decode_head.conv_seg']
    assert did_you_mean('nek', known) == 'Did you mean neck?'
    assert 'decode_head.conv_seg' in did_you_mean('head.conv_seg', known)
    assert did_you_mean('zzz', known) == ''
