import os
import shutil

from mmkd.engine.checkpoints import checkpoints, last_checkpoint


def test_last_checkpoint(tmp_path):
    folder = str(tmp_path)
    assert last_checkpoint(folder) is None
    for name in ('iter_9.pth', 'iter_10.pth', 'iter_11.pth.part', 'best.pth'):
        (tmp_path / name).write_text('x')
    newest = str(tmp_path / 'iter_10.pth')
    assert last_checkpoint(folder) == newest
    note = tmp_path / 'last_checkpoint'
    note.write_text(str(tmp_path / 'iter_9.pth'))
    assert last_checkpoint(folder) == str(tmp_path / 'iter_9.pth')
    note.write_text('/moved/from/here/iter_9.pth')
    assert last_checkpoint(folder) == str(tmp_path / 'iter_9.pth')
    for broken in ('', '/gone/iter_3.pth'):  # killed while it was written
        note.write_text(broken)
        assert last_checkpoint(folder) == newest


def test_the_one_before_a_checkpoint(tmp_path):
    """The note, unless a file is later; an older run's files come last."""

    def names():
        return [os.path.basename(p) for p in checkpoints(str(tmp_path))]

    for second, name in enumerate(
        ('iter_8.pth', 'iter_2.pth', 'iter_4.pth', 'last_checkpoint')):
        (tmp_path / name).write_text(str(tmp_path / 'iter_4.pth'))
        os.utime(tmp_path / name, (second, second))
    assert names() == ['iter_4.pth', 'iter_2.pth', 'iter_8.pth']
    # Killed after a checkpoint was saved and before the note of it was.
    (tmp_path / 'iter_6.pth').write_text('')
    assert names()[:3] == ['iter_6.pth', 'iter_4.pth', 'iter_2.pth']
    (tmp_path / 'last_checkpoint').write_bytes(b'\0\xff')
    assert names()[0] == 'iter_8.pth'
    # Checkpoints may lie elsewhere.
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        shutil.copy(tmp_path / 'iter_2.pth', elsewhere / name)
    (tmp_path / 'last_checkpoint').write_text(str(elsewhere / 'epoch_2.pth'))
    assert [str(elsewhere / f'epoch_{i}.pth')
            for i in (2, 1)] == checkpoints(str(tmp_path))[:2]
