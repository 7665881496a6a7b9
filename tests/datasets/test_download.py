"""Fetching: resumed, checked, unpacked as a whole. The server is this test's own."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmark.datasets import _download, visa
from benchmark.errors import DataError


def packed(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


DATA = packed(candle=b"x" * 5000)


class Handler(BaseHTTPRequestHandler):
    breaks_at: int | None = None
    asked: list[str | None] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.asked.append(wanted)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted else 0
        if start >= len(DATA):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        self.wfile.write(DATA[start : type(self).breaks_at])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Handler, "asked", [])
    monkeypatch.setattr(Handler, "breaks_at", None)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/data.tar"
        server.shutdown()


def archive(url: str, data: bytes = DATA) -> _download.Archive:
    return _download.Archive(url, "data.tar", hashlib.sha256(data).hexdigest())


def test_a_broken_download_goes_on_where_it_stopped(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Handler, "breaks_at", 3000)
    with pytest.raises(DataError, match="run the same command again to go on from 3,000 bytes"):
        _download.fetch(archive(url), tmp_path)
    monkeypatch.setattr(Handler, "breaks_at", None)
    assert _download.fetch(archive(url), tmp_path).read_bytes() == DATA
    assert Handler.asked == [None, "bytes=3000-"]


def test_all_bytes_but_no_end(url: str, tmp_path: Path) -> None:
    (tmp_path / "data.tar.part").write_bytes(DATA)  # killed before it was renamed
    assert _download.fetch(archive(url), tmp_path).read_bytes() == DATA


def test_other_bytes_than_published_are_refused_and_deleted(url: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not the published file"):
        _download.fetch(archive(url, b"other"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_reaches_outside_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bad.tar"
    path.write_bytes(packed(**{"../evil": b"x"}))
    with pytest.raises(DataError, match=r"bad\.tar: cannot be unpacked"):
        _download.unpack(path, tmp_path / "target")
    assert not (tmp_path / "target").exists() and not (tmp_path / "evil").exists()


def test_a_data_set_is_fetched_into_a_folder_of_its_name(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visa.Visa, "archive", archive(url))
    visa.Visa(tmp_path).download()
    assert [p.name for p in tmp_path.iterdir()] == ["visa"]
    assert (tmp_path / "visa/candle").stat().st_size == 5000
    with pytest.raises(DataError, match="visa: already there"):
        visa.Visa(tmp_path).download()
    assert len(Handler.asked) == 1  # nothing was fetched for nothing
