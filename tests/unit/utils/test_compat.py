import pytest

from mmkd.utils import compat


def test_versions(monkeypatch):
    compat.check_versions()
    versions = dict(torch='2.9.1+cu128')
    real = compat.metadata.version
    monkeypatch.setattr(compat.metadata, 'version',
                        lambda name: versions.get(name) or real(name))
    with pytest.raises(ImportError, match='torch >= 2.10.0.*2.9.1'):
        compat.check_versions()

    def missing(name):
        raise compat.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(compat.metadata, 'version', missing)
    with pytest.raises(ImportError, match='torch.*not installed'):
        compat.check_versions()
