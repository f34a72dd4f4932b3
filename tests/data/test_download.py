"""Downloads from a server of this machine that breaks off, lies and changes its mind."""

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ecellm.data.config import read_config
from ecellm.data.download import TRIES, Downloaded, download
from ecellm.data.readers.addresses import File, read_addresses
from ecellm.errors import EcellmError
from repository import REPOSITORY

DATA = bytes(range(256)) * 40_000
DIGEST = hashlib.sha256(DATA).hexdigest()
Run = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "localhost"])


class Server(ThreadingHTTPServer):
    """Serves `data`; each request uses up one of `faults`: an error's number, or bytes after which it breaks off."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = DATA
        self.tag = '"one"'
        self.ranges = True
        self.faults: list[int] = []
        self.asked: list[str | None] = []

    def url(self, name: str = "file.bin") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    """Answers with ranges, as file servers do."""

    server: Server

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        given = self.headers.get("Range")
        self.server.asked.append(given)
        fault = self.server.faults.pop(0) if self.server.faults else None
        if fault is not None and 400 <= fault < 600:
            self.send_error(fault)
            return
        same = self.headers.get("If-Range") == self.server.tag
        start = int(given.removeprefix("bytes=").rstrip("-")) if given and same and self.server.ranges else 0
        body = self.server.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", self.server.tag)
        self.end_headers()
        self.wfile.write(body if fault is None else body[:fault])
        self.wfile.flush()
        if fault is not None:
            self.close_connection = True


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def fetch(server: Server, to: Path, **changes: object) -> Downloaded:
    file = File.model_validate({"url": server.url(), "path": "raw/file.bin", **changes})
    return download([file], to, lambda path, have, total: None, pause=0.0)[0]


def left(to: Path) -> set[str]:
    return {path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file()}


def test_a_file_comes_whole_and_is_recorded_with_its_hash(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    file = File(url=server.url(), path="raw/file.bin", bytes=len(DATA), sha256=DIGEST)
    (found,) = download([file], tmp_path, lambda path, have, total: seen.append((have, total)), pause=0.0)
    assert (tmp_path / "raw/file.bin").read_bytes() == DATA
    assert found == Downloaded("raw/file.bin", server.url(), len(DATA), DIGEST)
    assert seen[-1] == (len(DATA), len(DATA)) and [have for have, _ in seen] == sorted(have for have, _ in seen)
    assert left(tmp_path) == {"raw/file.bin", "downloads.json"}
    assert json.loads((tmp_path / "downloads.json").read_text())[0]["sha256"] == DIGEST


def test_what_is_there_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    fetch(server, tmp_path)
    assert len(server.asked) == 1
    (tmp_path / "raw/file.bin").write_bytes(b"cut")
    fetch(server, tmp_path)
    assert (tmp_path / "raw/file.bin").read_bytes() == DATA


def test_a_broken_connection_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.faults = [4_000_000, 503, 2_000_000]
    assert fetch(server, tmp_path, sha256=DIGEST).bytes == len(DATA)
    assert (tmp_path / "raw/file.bin").read_bytes() == DATA
    assert server.asked == [None, "bytes=4000000-", "bytes=4000000-", "bytes=6000000-"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: Server, tmp_path: Path) -> None:
    server.faults = [3_000_000, *[500] * TRIES]
    with pytest.raises(EcellmError, match=r"cannot be downloaded \(the server says 500\): try again later"):
        fetch(server, tmp_path)
    assert left(tmp_path) == {"raw/file.bin.part", "raw/file.bin.part.tag"}
    server.faults = []
    fetch(server, tmp_path, sha256=DIGEST)
    assert server.asked[-1] == "bytes=3000000-"


def test_a_file_that_changed_meanwhile_begins_anew(server: Server, tmp_path: Path) -> None:
    server.faults = [3_000_000, *[500] * TRIES]
    with pytest.raises(EcellmError):
        fetch(server, tmp_path)
    server.data, server.tag = DATA[::-1], '"two"'
    fetch(server, tmp_path)
    assert (tmp_path / "raw/file.bin").read_bytes() == DATA[::-1]


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    server.faults = [3_000_000]
    assert fetch(server, tmp_path, sha256=DIGEST).bytes == len(DATA)


@pytest.mark.parametrize(
    ("changes", "what"), [({"sha256": "0" * 64}, "checksum"), ({"bytes": 5}, "length"), ({"bytes": 10**9}, "length")]
)
def test_a_wrong_file_is_refused_and_leaves_nothing(
    server: Server, tmp_path: Path, changes: dict[str, object], what: str
) -> None:
    with pytest.raises(EcellmError, match=f"file.bin has another {what} than it should"):
        fetch(server, tmp_path, **changes)
    assert left(tmp_path) == set()


def test_a_file_that_is_not_there_is_said_at_once(server: Server, tmp_path: Path) -> None:
    server.faults = [404]
    with pytest.raises(EcellmError, match=r"file\.bin cannot be downloaded: the server says 404\."):
        fetch(server, tmp_path)
    assert len(server.asked) == 1


def test_files_before_a_failing_one_stay(server: Server, tmp_path: Path) -> None:
    files = [File(url=server.url(name), path=name) for name in ("a", "b")]
    server.faults = []
    download(files[:1], tmp_path, lambda path, have, total: None, pause=0.0)
    server.faults = [404]
    with pytest.raises(EcellmError):
        download(files, tmp_path, lambda path, have, total: None, pause=0.0)
    assert left(tmp_path) == {"a", "downloads.json"}


def test_a_zip_files_members_stand_beside_it_and_nothing_else(server: Server, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("folder/Amazon.csv", "id,title\n")
        archive.writestr("../evil.csv", "x")
    server.data = packed.getvalue()
    fetch(server, tmp_path, unpack=("Amazon.csv",))
    assert (tmp_path / "raw/Amazon.csv").read_text() == "id,title\n"
    assert left(tmp_path) == {"raw/Amazon.csv", "raw/file.bin", "downloads.json"}
    with pytest.raises(EcellmError, match=r"is no zip file that holds Other\.csv"):
        fetch(server, tmp_path, unpack=("Other.csv",))


def test_a_full_disk_is_said_and_the_download_goes_on_later(
    server: Server, tmp_path: Path, file_limit: Callable[[int], object]
) -> None:
    with file_limit(2_000_000), pytest.raises(OSError, match="No space left"):  # type: ignore[attr-defined]
        fetch(server, tmp_path)
    fetch(server, tmp_path, sha256=DIGEST)
    assert (tmp_path / "raw/file.bin").read_bytes() == DATA


def test_the_addresses_are_those_that_the_papers_build_reads(tmp_path: Path) -> None:
    config = read_config(REPOSITORY / "examples" / "published.toml")
    known = read_addresses()
    for name, folder in config.sources:
        if name not in ("tables", "amazon_google_encoding"):
            for file in known[name].chosen([]):
                assert file.path.startswith(f"{folder}/") and "{" not in file.path + file.url
                assert file.url.startswith("https://")
    wanted = {*config.tasks["SR"].in_domain, *config.tasks["SR"].out_of_domain}
    assert wanted == set(known["amazon_reviews"].categories) == set(known["amazon_reviews_2014"].categories)
    assert len(known["amazon_reviews"].chosen(["Gift_Cards"])) == 3


def test_the_command_lists_and_refuses_in_one_line(tmp_path: Path, run: Run) -> None:
    code, out, _ = run("download")
    assert code == 0 and "amazon_google" in out
    for arguments, said in (
        (("ebay", "--to", tmp_path), "There is no source 'ebay': choose from amazon_reviews,"),
        (("esci",), "Name the folder to download to with --to DIR."),
        (("mave", "--to", tmp_path), "mave cannot be downloaded: its texts are not published"),
    ):
        code, _, error = run("download", *arguments)
        assert code == 1 and said in error and error.count("\n") == 1


def test_the_command_downloads(server: Server, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "addresses.toml"
    other.write_text(
        f'[shop]\ntitle = "A shop"\npage = "p"\nlicence = "l"\nsize = "s"\ncategories = ["A", "B"]\n'
        f'files = [{{url = "{server.url("{category}")}", path = "shop/{{category}}"}}]\n'
    )
    known = read_addresses(other)
    monkeypatch.setattr("ecellm.data.readers.addresses.read_addresses", lambda: known)
    code, out, error = run("download", "shop", "--to", tmp_path / "raw")
    assert code == 0 and f"shop: 2 files, {2 * len(DATA):,} bytes" in out and "Licence: l." in error
    assert run("download", "shop", "--to", tmp_path / "raw", "--categories", "C")[0] == 0
    assert (tmp_path / "raw/shop/C").read_bytes() == DATA
