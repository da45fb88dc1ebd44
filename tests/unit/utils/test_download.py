"""Downloads from a server on this machine."""
import hashlib
import io
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch

from mmkd.core.teacher import Teacher
from mmkd.errors import CheckpointError, ConfigError
from mmkd.testing import segmentor
from mmkd.utils import download
from mmkd.utils.checkpoint import read_file
from mmkd.utils.download import local_file


def weights(value):
    buffer = io.BytesIO()
    torch.save(dict(w=torch.full((1000, ), float(value))), buffer)
    return buffer.getvalue()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves ``files``; notes what was asked for in ``asked``."""
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    monkeypatch.setattr(download, 'PAUSES', (0., 0.))

    class Handler(BaseHTTPRequestHandler):

        def do_GET(self):
            httpd.asked.append(self.path)
            answers = httpd.files.get(self.path, [404])
            body = answers.pop(0) if len(answers) > 1 else answers[0]
            if body == 'stall':
                self.send_response(200)
                self.send_header('Content-Length', '1000')
                self.end_headers()
                self.wfile.write(b'PK')
                self.wfile.flush()
                stalled.wait(30)
                return
            if isinstance(body, int):
                self.send_error(body)
                return
            body, length = body if isinstance(body, tuple) else (body,
                                                                 len(body))
            self.send_response(200)
            self.send_header('Content-Length', str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    stalled = threading.Event()
    httpd = HTTPServer(('127.0.0.1', 0), Handler)
    httpd.files, httpd.asked = {}, []
    httpd.url = f'http://127.0.0.1:{httpd.server_port}'
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield httpd
    stalled.set()
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def value_at(address):
    return read_file(address)['w'][0].item()


def parts(tmp_path):
    return list((tmp_path / 'home').rglob('*.part'))


def test_two_addresses_of_one_name(server):
    server.files = {
        '/one/model.pth': [weights(1)],
        '/two/model.pth': [weights(2)],
        '/one/model.pth?v=3': [weights(3)]
    }
    for _ in range(2):
        assert value_at(f'{server.url}/one/model.pth') == 1
        assert value_at(f'{server.url}/two/model.pth') == 2
        assert value_at(f'{server.url}/one/model.pth?v=3') == 3
    assert len(server.asked) == 3


def test_a_cut_download_does_not_stay(server, tmp_path):
    whole = weights(1)
    cut = whole[:2000], len(whole)
    server.files['/a.pth'] = [cut, cut, cut, whole]
    with pytest.raises(
            CheckpointError, match='ended after 2000 of|Incomplete'):
        local_file(f'{server.url}/a.pth')
    assert not parts(tmp_path)
    assert value_at(f'{server.url}/a.pth') == 1
    server.files['/b.pth'] = [cut, 503, whole]
    assert value_at(f'{server.url}/b.pth') == 1
    assert not parts(tmp_path)


def test_a_server_that_stalls(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, 'TIMEOUT', 0.2)
    monkeypatch.setattr(download, 'PAUSES', ())
    server.files['/a.pth'] = ['stall']
    with pytest.raises(CheckpointError, match='cannot download.*timed out'):
        local_file(f'{server.url}/a.pth')
    assert not parts(tmp_path)


def test_what_is_not_there(server):
    with pytest.raises(CheckpointError, match='404.*give its path'):
        local_file(f'{server.url}/gone.pth')
    assert len(server.asked) == 1  # not tried again
    with pytest.raises(CheckpointError, match='cannot download.*refused'):
        local_file('http://127.0.0.1:1/a.pth')


def test_hashes(server):
    content = weights(1)
    digest = hashlib.sha256(content).hexdigest()
    good, bad = f'/r18-{digest[:8]}.pth', '/r18-0123abcd.pth'
    server.files = {
        path: [content]
        for path in (good, bad, '/plain.pth', '/r18-20240131.pth')
    }
    assert value_at(server.url + good) == 1
    assert value_at(f'{server.url}/r18-20240131.pth') == 1  # a date
    with pytest.raises(CheckpointError, match='SHA-256 is .*0123abcd'):
        value_at(server.url + bad)
    plain = f'{server.url}/plain.pth'
    with pytest.raises(CheckpointError, match='SHA-256 is'):
        value_at(dict(url=plain, sha256='0' * 64))
    for sha256 in (digest, digest.upper(), digest[:12]):
        assert value_at(dict(url=plain, sha256=sha256)) == 1
    assert value_at(dict(url=server.url + bad, sha256=digest)) == 1
    assert value_at(dict(url=plain)) == 1
    # What has changed on the disk is fetched again.
    Path(local_file(plain)).write_bytes(b'x')
    assert value_at(dict(url=plain, sha256=digest)) == 1


def test_the_cache_of_torch(server, tmp_path):
    """Is used where a hash says that it is the right file."""
    content = weights(1)
    name = f'r18-{hashlib.sha256(content).hexdigest()[:8]}.pth'
    cache = tmp_path / 'home' / 'hub' / 'checkpoints'
    os.makedirs(cache)
    (cache / name).write_bytes(content)
    (cache / 'plain.pth').write_bytes(content)
    assert value_at(f'{server.url}/{name}') == 1 and not server.asked
    with pytest.raises(CheckpointError, match='404'):
        value_at(f'{server.url}/plain.pth')


@pytest.mark.parametrize('address', [
    dict(path='x'),
    dict(url='http://x', md5='1'),
    dict(url='http://x', sha256='xyz'),
    dict(url=3)
])
def test_wrong_addresses(address):
    with pytest.raises(ConfigError, match='sha256'):
        local_file(address)


@pytest.mark.parametrize('scheme', ['s3', 'petrel', 'pavi', 'file', 'a:s3'])
def test_other_schemes(scheme):
    with pytest.raises(CheckpointError, match=f'cannot read {scheme}://x/y'):
        local_file(f'{scheme}://x/y.pth')
    assert local_file('a/b.pth') == 'a/b.pth'


def test_a_teacher(server):
    from mmkd.core.network import build_network
    buffer = io.BytesIO()
    torch.save(build_network(segmentor(8), 't').state_dict(), buffer)
    server.files['/t.pth'] = [buffer.getvalue()]
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    address = dict(url=f'{server.url}/t.pth', sha256=digest)
    assert Teacher(segmentor(8), address).network is not None
    with pytest.raises(CheckpointError, match='cannot download'):
        Teacher(segmentor(8), dict(address, sha256='0' * 8))
