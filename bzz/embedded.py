"""A real MongoDB for development and tests: a replica set of one node, on loopback.

It is a child process that never outlives the program that started it, kill -9 included.
Knows processes, ports and mongod's own words; nothing of documents.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import pymongo
from pymongo.errors import PyMongoError

from bzz.errors import SetupError

__all__ = ["EmbeddedError", "Mongod", "database", "find_mongod", "mongod"]

NO_MONGOD = (
    "There is no MongoDB to start: name a replica set in MONGODB_URI, put mongod on the PATH, or "
    "(on x86-64 Linux) run: pip install 'bzz[embedded]'."
)

_HOST = "127.0.0.1"
_SET = "bzz"
_KEEPER = Path(__file__).with_name("keeper.py")
_PORT_TAKEN, _NOT_STARTED = 48, 100  # mongod's own
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOG_TAIL = 256 * 1024
_SPOKEN = '"ctx":'  # in each line that a mongod logs
_ATTEMPTS = 5
_PATIENCE = 60.0
_GRACE = 30.0


class EmbeddedError(SetupError):
    """The database could not be started, or has ended.  `str(error)` is one sentence."""


class Mongod:
    """A running mongod.  `mongod()` gives it.

    Attributes
    ----------
    uri: to connect with.
    port: the port on which it listens, on loopback only.
    folder: where its data lies, and its log (`mongod.log`).
    temporary: whether the folder is thrown away at the end.
    binary: the mongod that runs.
    """

    def __init__(
        self,
        binary: Path,
        port: int,
        folder: Path,
        process: subprocess.Popen[bytes],
        *,
        temporary: bool,
        log_start: int,
    ) -> None:
        self.binary = binary
        self.port = port
        self.folder = folder
        self.uri = f"mongodb://{_HOST}:{port}/?replicaSet={_SET}&uuidRepresentation=standard"
        self.temporary = temporary
        self._process = process
        self._log_start = log_start
        self._stopped = False

    @property
    def pid(self) -> int:
        """The process id of mongod itself, while it runs."""
        return int((self.folder / "mongod.lock").read_text())

    def failure(self) -> str | None:
        """One sentence that says why the database ended by itself; None if it did not."""
        code = self._process.poll()
        if code is None or self._stopped:
            return None
        # The keeper tells of its child's signals as a shell does.
        return _why(self, 128 - code if code < 0 else code)

    def words(self) -> str:
        """The last of what mongod has written into its log since it was started."""
        log = self.folder / "mongod.log"
        try:
            with log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start, size - _LOG_TAIL))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def stop(self) -> None:
        """End the database, and wait until it has ended.  May be called again."""
        self._stopped = True
        pipe = self._process.stdin
        with suppress(OSError):  # a keeper that has ended already
            if pipe is not None and not pipe.closed:
                pipe.write(b".")  # closing alone says nothing while a fork holds the other copy
                pipe.close()
        self._process.wait()
        if self.temporary:
            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def database(folder: str | Path) -> Iterator[str]:
    """The URI of a database for the length of a `with` block.

    It is the one that the environment variable MONGODB_URI names; without it an embedded one
    whose data lies in `folder` and stays there.  Raises `EmbeddedError`.
    """
    uri = os.environ.get("MONGODB_URI")
    if uri:
        yield uri
        return
    with mongod(folder) as running:
        yield running.uri


@contextmanager
def mongod(
    folder: str | Path | None = None,
    *,
    port: int = 0,
    binary: str | Path | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Iterator[Mongod]:
    """Run a mongod as a replica set of one node for the length of a `with` block.

    Args:
        folder: where the data lies; made when it is not there, and kept.  Without one the data
            is thrown away at the end.
        port: on loopback; 0 for a free one.
        binary: the mongod to run, by default the one that `find_mongod()` finds.
        parameters: server parameters, as mongod's `--setParameter` takes them.

    Raises `EmbeddedError` with one sentence: nothing to run, a binary that does not run here,
    a taken port, a folder that another mongod uses or that cannot be written, a full disk.
    """
    found = find_mongod() if binary is None else Path(binary)
    if found is None:
        raise EmbeddedError(NO_MONGOD)
    if port:
        _check_free(port)
    running = _started(found, folder, port, parameters or {})
    try:
        yield running
    finally:
        running.stop()


def find_mongod() -> Path | None:
    """The mongod of the installed package, else the one on the PATH, else None."""
    package = find_spec("fiftyone")
    for place in (package.submodule_search_locations or ()) if package else ():
        candidate = Path(place) / "db" / "bin" / "mongod"
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which("mongod")
    return None if on_path is None else Path(on_path)


def _started(
    binary: Path, folder: str | Path | None, port: int, parameters: Mapping[str, Any]
) -> Mongod:
    for attempt in range(1, _ATTEMPTS + 1):
        running = _launch(binary, folder, port or _free_port(), parameters)
        try:
            _wait(running)
            return running
        except EmbeddedError:
            # Between finding a free port and listening on it somebody else may take it.
            taken = running._process.poll() == _PORT_TAKEN
            running.stop()
            if port or not taken or attempt == _ATTEMPTS:
                raise
        except BaseException:
            running.stop()
            raise
    raise EmbeddedError("No port on loopback stays free long enough to listen on it.")


def _launch(
    binary: Path, folder: str | Path | None, port: int, parameters: Mapping[str, Any]
) -> Mongod:
    place, log = _opened(folder)
    command = [str(binary), "--dbpath", str(place), "--port", str(port), "--bind_ip", _HOST]
    command += ["--replSet", _SET, "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
    # A set of one node has nobody to hand its work over to before it ends.
    quick = {"shutdownTimeoutMillisForSignaledShutdown": 0}
    for name, value in {**quick, **parameters}.items():
        command += ["--setParameter", f"{name}={_spelt(value)}"]
    ending = ["0", str(place)] if folder is None else [str(_GRACE), ""]
    with log:
        start = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KEEPER), *ending, *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Mongod(binary, port, place, process, temporary=folder is None, log_start=start)


def _opened(folder: str | Path | None) -> tuple[Path, BinaryIO]:
    """The folder of the data, made where it is not there, and the log in it."""
    try:
        if folder is None:
            place = Path(tempfile.mkdtemp(prefix="bzz-mongod-"))
        else:
            place = Path(folder).absolute()
            place.mkdir(parents=True, exist_ok=True)
        return place, (place / "mongod.log").open("ab")
    except OSError as error:
        place = Path(tempfile.gettempdir()) if folder is None else Path(folder)
        if error.errno in _FULL:
            raise EmbeddedError(_full_disk(place)) from error
        raise EmbeddedError(
            f"The folder {place} cannot hold a database: {error.strerror}. Name another."
        ) from error


def _wait(running: Mongod) -> None:
    """Wait until the node takes writes, making it a replica set when it is none yet."""
    end = time.monotonic() + _PATIENCE
    uri = f"mongodb://{_HOST}:{running.port}/?directConnection=true"
    with pymongo.MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=1000) as client:
        while time.monotonic() < end:
            why = running.failure()
            if why is not None:
                raise EmbeddedError(why)
            if _listens(running.port) and _is_ready(client, running):
                return
            time.sleep(0.02)
    raise EmbeddedError(f"mongod did not get ready within {_PATIENCE:g} s{_see_log(running)}.")


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex((_HOST, port)) == 0


def _is_ready(client: pymongo.MongoClient[dict[str, Any]], running: Mongod) -> bool:
    me = f"{_HOST}:{running.port}"
    try:
        options = client.admin.command("getCmdLineOpts")["parsed"]
        if options["storage"]["dbPath"] != str(running.folder):
            return False  # somebody else's, who was faster at the port; ours ends of it
        hello = client.admin.command("hello")
        if hello.get("isWritablePrimary") and hello.get("me") == me:
            return True
        if hello.get("isreplicaset") and not hello.get("setName"):
            _make_set(client, me)
    except (PyMongoError, KeyError):
        pass  # it ends, or is still starting; the loop around sees which
    return False


def _make_set(client: pymongo.MongoClient[dict[str, Any]], me: str) -> None:
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except PyMongoError:
        members = [{"_id": 0, "host": me}]
        client.admin.command("replSetInitiate", {"_id": _SET, "members": members})
        return
    # The data was last served on another port, so the set does not find itself in it.
    config["members"] = [{**config["members"][0], "host": me}]
    config["version"] += 1
    client.admin.command("replSetReconfig", config, force=True)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind((_HOST, 0))
        return int(found.getsockname()[1])


def _check_free(port: int) -> None:
    with socket.socket() as trial:
        # As mongod does, which does not mind what has just been closed there.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((_HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise EmbeddedError(_taken_port(port)) from error


def _spelt(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# Why it ended ------------------------------------------------------------------------------


def _why(ended: Mongod, code: int) -> str:
    words = ended.words()
    if code == _PORT_TAKEN:
        return _taken_port(ended.port)
    if code == 128 + signal.SIGKILL:
        return "mongod was killed (SIGKILL), by somebody or for want of memory; start it again."
    if "No space left on device" in words or "Disk quota exceeded" in words or _full(ended, words):
        return _full_disk(ended.folder)
    if _SPOKEN not in words:
        return f"{ended.binary} does not run as a mongod here: {_last_words(words, code)}"
    if code == 0:
        return "mongod was shut down by somebody else; start it again."
    if code == _NOT_STARTED and "DBPathInUse" in words:
        return (
            f"The folder {ended.folder} is in use by another mongod; stop it, or name another "
            "folder."
        )
    if code == _NOT_STARTED and "Permission denied" in words:
        return f"mongod may not write in {ended.folder}; give it the right, or name another folder."
    return f"mongod ended with code {code} ({_last_error(words)}){_see_log(ended)}."


def _taken_port(port: int) -> str:
    return f"Port {port} on {_HOST} is taken; stop what listens there, or choose another."


def _full_disk(folder: Path) -> str:
    return f"The disk that holds {folder} is full; make room, and start again."


def _full(ended: Mongod, words: str) -> bool:
    # The log lies on the same disk: where it breaks off within a line, there was no room for it.
    if _SPOKEN in words and not words.endswith("\n"):
        return True
    try:
        return shutil.disk_usage(ended.folder).free < 1024 * 1024
    except OSError:
        return False


def _see_log(ended: Mongod) -> str:
    return "" if ended.temporary else f"; its log is {ended.folder / 'mongod.log'}"


def _last_words(words: str, code: int) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    if lines:
        return lines[-1]
    if code == 128 + signal.SIGILL:
        return "it needs instructions that this processor does not have."
    return f"it ended with code {code} and said nothing."


def _last_error(words: str) -> str:
    for line in reversed(words.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("s") in ("E", "F"):
            error = entry.get("attr", {}).get("error", "")
            error = error.get("errmsg", error) if isinstance(error, dict) else error
            told = " ".join(f"{entry.get('msg')}: {error}".split())  # crashes speak in many lines
            return told.rstrip(": .")
    return "its log does not say why"
