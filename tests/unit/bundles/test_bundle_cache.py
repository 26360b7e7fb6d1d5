"""The file of the last good bundle is whole, private, and replaced at once."""

import stat
from pathlib import Path

import pytest

from tollhouse.bundles.cache import BundleCache


def test_what_was_written_is_read_and_replaced(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path / "new" / "bundle")
    assert cache.read() is None
    cache.write(b"first")
    cache.write(b"second")
    assert cache.read() == b"second"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["bundle"]


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    BundleCache(tmp_path / "bundle").write(b"x")
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == 0o600


def test_what_a_crash_left_beside_it_is_in_nobodys_way(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path / "bundle")
    cache.write(b"old")
    (tmp_path / ".bundle.new").write_bytes(b"half")
    assert cache.read() == b"old"
    cache.write(b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path / "bundle")
    cache.write(b"old")
    with (tmp_path / "bundle").open("rb") as reading:
        cache.write(b"newer")
        assert reading.read() == b"old"


def test_a_folder_that_cannot_be_used_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|exists"):
        BundleCache(tmp_path / "file" / "bundle").write(b"x")
