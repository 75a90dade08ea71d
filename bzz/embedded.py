"""A real MongoDB for development and tests: a replica set of one node, on loopback.

It is a child process that never outlives the program that started it, kill -9 included.
Knows processes, ports and mongod's own words; nothing of documents.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
_PORT_TAKEN = 48  # mongod's own exit code
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
    """

    def __init__(
        self,
        port: int,
        folder: Path,
        process: subprocess.Popen[bytes],
        *,
        temporary: bool,
        log_start: int,
    ) -> None:
        self.port = port
        self.folder = folder
        self.uri = f"mongodb://{_HOST}:{port}/?replicaSet={_SET}&uuidRepresentation=standard"
        self._process = process
        self._temporary = temporary
        self._log_start = log_start
        self._stopped = False

    @property
    def pid(self) -> int:
        """The process id of mongod itself."""
        return int((self.folder / "mongod.lock").read_text())

    def failure(self) -> str | None:
        """One sentence that says why the database ended by itself; None if it did not."""
        code = self._process.poll()
        if code is None or self._stopped:
            return None
        return _why(code, self.port, self.folder, self._log_start)

    def stop(self) -> None:
        """End the database, and wait until it has ended.  May be called again."""
        self._stopped = True
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._temporary:
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
    temporary = folder is None
    place = Path(tempfile.mkdtemp(prefix="bzz-mongod-")) if folder is None else _made(Path(folder))
    command = [str(binary), "--dbpath", str(place), "--port", str(port), "--bind_ip", _HOST]
    command += ["--replSet", _SET, "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"]
    # A set of one node has nobody to hand its work over to before it ends.
    quick = {"shutdownTimeoutMillisForSignaledShutdown": 0}
    for name, value in {**quick, **parameters}.items():
        command += ["--setParameter", f"{name}={_spelt(value)}"]
    ending = ["0", str(place)] if temporary else [str(_GRACE), ""]
    with (place / "mongod.log").open("ab") as log:
        start = log.tell()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_KEEPER), *ending, *command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return Mongod(port, place, process, temporary=temporary, log_start=start)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mongod.log").touch()
    except OSError as error:
        raise EmbeddedError(
            f"The folder {folder} cannot hold a database: {error.strerror}. Name another."
        ) from error
    return folder.absolute()


def _wait(running: Mongod) -> None:
    """Wait until the node takes writes, making it a replica set when it is none yet."""
    end = time.monotonic() + _PATIENCE
    uri = f"mongodb://{_HOST}:{running.port}/?directConnection=true"
    with pymongo.MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=1000) as client:
        while time.monotonic() < end:
            why = running.failure()
            if why is not None:
                raise EmbeddedError(why)
            if _listens(running.port) and _is_ready(client, running.port):
                return
            time.sleep(0.02)
    raise EmbeddedError(
        f"mongod did not get ready within {_PATIENCE:g} s; its log is "
        f"{running.folder / 'mongod.log'}."
    )


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex((_HOST, port)) == 0


def _is_ready(client: pymongo.MongoClient[dict[str, Any]], port: int) -> bool:
    me = f"{_HOST}:{port}"
    try:
        hello = client.admin.command("hello")
        if hello.get("isWritablePrimary") and hello.get("me") == me:
            return True
        if hello.get("isreplicaset") and not hello.get("setName"):
            _make_set(client, me)
    except PyMongoError:
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


def _spelt(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# Why it ended ------------------------------------------------------------------------------


def _why(code: int, port: int, folder: Path, log_start: int) -> str:
    log = folder / "mongod.log"
    words = _words(log, log_start)
    if code == _PORT_TAKEN or "Address already in use" in words:
        return f"Port {port} on {_HOST} is taken; stop what listens there, or choose another."
    if "DBPathInUse" in words or "Unable to lock the lock file" in words:
        return f"The folder {folder} is in use by another mongod; stop it, or name another folder."
    if "No space left on device" in words or _full(folder):
        return f"The disk that holds {folder} is full; make room, and start again."
    if "Permission denied" in words and code in (100, 14):
        return f"mongod may not write in {folder}; give it the right, or name another folder."
    if code in (126, 127) or "Exec format error" in words:
        return f"The mongod that was found does not run here: {_last_line(words)}"
    return f"mongod ended with code {code} ({_last_error(words)}); its log is {log}."


def _words(log: Path, start: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(start)
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < 1024 * 1024
    except OSError:
        return False


def _last_line(words: str) -> str:
    lines = [line for line in words.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing."


def _last_error(words: str) -> str:
    for line in reversed(words.splitlines()):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if entry.get("s") in ("E", "F"):
            return f"{entry.get('msg')}: {entry.get('attr', {}).get('error', '')}".rstrip(": ")
    return _last_line(words)
