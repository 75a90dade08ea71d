"""The demo: what it serves, what its page says, and how it starts and ends."""

from __future__ import annotations

import html
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pymongo
import pytest

from tests.support import Client

ROOT = Path(__file__).parent.parent
MODELS = ["person", "team", "order"]
LINK = re.compile(r'<a href="([^"]+)"')
LINE = re.compile(r"<samp>(\d+)</samp></p>\n<pre><code>(.+?)</code></pre>")


class Running(NamedTuple):
    """A demo that serves."""

    process: subprocess.Popen[str]
    banner: str
    port: int
    client: Client


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "bzz.demo", *options]


def environment(uri: str | None) -> dict[str, str]:
    rest = {name: value for name, value in os.environ.items() if name != "MONGODB_URI"}
    return {**rest, "PYTHONPATH": str(ROOT), **({} if uri is None else {"MONGODB_URI": uri})}


@contextmanager
def demo(folder: Path, uri: str | None = None) -> Iterator[Running]:
    """Run the demo in a folder, on a free port, in a session of its own as a terminal would."""
    with (folder / "errors").open("w") as errors:
        process = subprocess.Popen(
            command("--port", "0"),
            cwd=folder,
            env=environment(uri),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        banner = ""
        while "Ctrl-C" not in banner:
            line = process.stdout.readline() if process.stdout else ""
            assert line, (folder / "errors").read_text()
            banner += line
        port = int(re.findall(r"http://127\.0\.0\.1:(\d+)/", banner)[0])
        with closing(Client(port)) as client:
            yield Running(process, banner, port, client)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)


def refused(folder: Path, *options: str, uri: str | None = None) -> tuple[int, str]:
    """The exit code, and all that is said, of a demo that does not start."""
    result = subprocess.run(
        command(*options),
        cwd=folder,
        env=environment(uri),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout


@pytest.fixture(scope="module")
def uri(mongod: Any) -> Iterator[str]:
    """A new database on the real mongod."""
    name = f"demo{uuid.uuid4().hex}"
    yield mongod.uri.replace("/?", f"/{name}?")
    with pymongo.MongoClient(mongod.uri) as client:
        client.drop_database(name)


@pytest.fixture(scope="module")
def running(uri: str, tmp_path_factory: Any) -> Iterator[Running]:
    """The demo on that database."""
    with demo(tmp_path_factory.mktemp("demo"), uri) as started:
        yield started


@pytest.fixture(scope="module")
def page(running: Running) -> str:
    return running.client.get("/").body.decode()


@pytest.fixture(scope="module")
def histories(running: Running) -> dict[str, list[Any]]:
    """The events of each document that lives or has a story, oldest first, by path."""
    paths = {
        f"/{model}/{each['id']}/history/"
        for model in MODELS
        for each in running.client.get(f"/{model}/?limit=100").json["items"]
    }
    paths |= {"/order/1015/history/", "/person/sam/history/"}
    return {
        path: running.client.get(f"{path}?order=asc&limit=100").json["items"]
        for path in sorted(paths)
    }


def all_events(histories: dict[str, list[Any]]) -> list[Any]:
    return [event for events in histories.values() for event in events]


# The page -----------------------------------------------------------------------------------


def test_the_page_needs_nothing_from_elsewhere(page):
    assert [] == re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?(?:https?:)?//', page)
    assert "<script" not in page


def test_each_link_of_the_page_works(running, page):
    links = [html.unescape(link) for link in LINK.findall(page)]
    answers = {link: running.client.get(link).status for link in links}

    assert len(links) > 12
    assert dict.fromkeys(links, 200) == answers


def test_the_lists_that_the_page_links_to_are_not_empty(running, page):
    lists = [link for link in map(html.unescape, LINK.findall(page)) if "?" in link]

    assert [] == [link for link in lists if running.client.get(link).json.get("items") == []]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the lines are typed with curl")
def test_each_curl_line_of_the_page_is_answered_as_it_says(running, histories, page):
    lines = [(status, html.unescape(line)) for status, line in LINE.findall(page)]
    answered = []
    for _, line in lines:
        quiet = line.replace("curl ", "curl -s -o /dev/null -w '%{http_code}' ", 1)
        result = subprocess.run(["bash", "-c", quiet], capture_output=True, text=True, check=True)
        answered.append((result.stdout, line))

    assert page.count("<pre>") == len(lines) == 10
    assert lines == answered


def test_a_user_is_who_the_header_says(running):
    running.client.patch("/team/people/", {"purpose": "Likes"}, headers={"X-User": "José".encode()})

    newest = running.client.get("/team/people/history/?limit=1").json["items"][0]
    assert {"kind": "user", "id": "José"} == newest["actor"]


def test_without_the_header_a_user_is_anonymous(running):
    running.client.patch("/team/people/", {"purpose": "Loves"})

    newest = running.client.get("/team/people/history/?limit=1").json["items"][0]
    assert {"kind": "anonymous", "id": None} == newest["actor"]


@pytest.mark.parametrize("below", ["restore", "replay"])
def test_what_is_about_all_models_is_served_and_described(running, below):
    described = running.client.get("/openapi.json").json["paths"]
    answer = running.client.post(f"/history/{below}/", {"nonsense": 1})

    assert f"/history/{below}/" in described
    assert (422, "/nonsense") == (answer.status, answer.problem["errors"][0]["pointer"])


# The past -----------------------------------------------------------------------------------


def test_there_are_a_few_dozen_documents(histories):
    assert 40 <= len(histories) <= 60


def test_the_past_has_all_kinds_of_events(histories):
    operations = {event["operation"] for event in all_events(histories)}

    assert {"baseline", "created", "updated", "deleted", "restored", "external"} == operations


def test_the_past_has_many_actors_and_reasons(histories):
    events = all_events(histories)
    actors = {(event["actor"]["kind"], event["actor"]["id"]) for event in events}

    assert {("user", "eva"), ("user", "rui"), ("service", "courier"), ("system", None)} <= actors
    assert len(actors) > 10
    assert len({event["reason"] for event in events}) > 10


def test_the_past_lasts_for_weeks_and_ends_before_now(histories):
    times = [datetime.fromisoformat(event["time"]) for event in all_events(histories)]

    assert max(times) - min(times) > timedelta(days=35)
    assert max(times) < datetime.now(max(times).tzinfo)


def test_the_past_of_each_document_is_in_order(histories):
    for events in histories.values():
        times = [event["time"] for event in events]
        assert sorted(times) == times
        assert list(range(1, len(events) + 1)) == [event["version"] for event in events]


def test_one_correlation_ties_what_was_done_together(histories):
    tied = {
        (event["model"], event["operation"])
        for event in all_events(histories)
        if event["correlation"] == "hire-pia"
    }

    assert {("person", "created"), ("team", "updated")} == tied


def test_who_left_is_taken_out_of_the_team_in_the_same_write(histories):
    left = histories["/person/sam/history/"][-1]
    team = next(
        event
        for event in histories["/team/support/history/"]
        if event["correlation"] == left["correlation"]
    )

    assert ("deleted", "updated") == (left["operation"], team["operation"])
    assert ["sam"] == [change["from"] for change in team["changes"]]


def test_a_salary_is_in_no_event(histories):
    raised = next(e for e in histories["/person/ana/history/"] if e["reason"] == "yearly review")

    assert [{"path": "/salary", "masked": True}] == raised["changes"]
    assert "last_seen" not in str(all_events(histories))


# Start and end --------------------------------------------------------------------------------


def test_a_second_start_adds_nothing_to_the_past(running, uri, tmp_path):
    paths = ["/person/", "/team/?limit=100", "/order/?limit=100", "/order/1007/history/"]
    before = [running.client.get(path).json for path in paths]

    with demo(tmp_path, uri) as again:
        assert before == [again.client.get(path).json for path in paths]


def test_a_database_with_something_in_it_gets_no_past(mongod, tmp_path):
    name = f"demo{uuid.uuid4().hex}"
    with pymongo.MongoClient(mongod.uri) as client:
        client[name].theirs.insert_one({})
        with demo(tmp_path, mongod.uri.replace("/?", f"/{name}?")) as started:
            assert 200 == started.client.get("/").status
            assert [] == started.client.get("/order/").json["items"]
        client.drop_database(name)


def test_the_database_that_mongodb_uri_names_is_on_the_screen(running, uri):
    name = re.findall(r"demo[0-9a-f]+", uri)[0]

    assert (
        f"\n  The demo of bzz is at  http://127.0.0.1:{running.port}/\n"
        f"  Its data is in         the database {name} that MONGODB_URI names\n"
        "  To stop it             press Ctrl-C\n" == running.banner
    )


def mongod_of(folder: Path) -> int:
    return int((folder / "demo-data" / "mongod.lock").read_text())


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_ends_the_server_and_its_database(tmp_path):
    with demo(tmp_path) as started:
        pid = mongod_of(tmp_path)
        os.killpg(started.process.pid, signal.SIGINT)
        said, _ = started.process.communicate(timeout=60)

    assert f"{tmp_path / 'demo-data'}/ (kept; delete the folder to begin anew)" in started.banner
    assert (0, "Stopped.") == (started.process.returncode, said.strip())
    assert "" == (tmp_path / "errors").read_text()
    assert not is_alive(pid)


def test_the_demo_ends_when_its_database_dies(tmp_path):
    with demo(tmp_path) as started:
        os.kill(mongod_of(tmp_path), signal.SIGKILL)

        assert 1 == started.process.wait(timeout=60)
    assert (
        "mongod was killed (SIGKILL), by somebody or for want of memory; start it again.\n"
        == (tmp_path / "errors").read_text()
    )


def test_a_taken_port_is_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        code, said = refused(tmp_path, "--port", str(port))

    assert 1 == code
    assert (
        f"Port {port} on 127.0.0.1 cannot be had (Address already in use); stop what listens "
        "there, or choose another: make run PORT=8889.\n" == said
    )
    assert [] == list(tmp_path.iterdir())


def test_a_data_folder_that_cannot_be_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()

    assert (
        1,
        "The folder file cannot hold a database: File exists. Name another.\n",
    ) == refused(tmp_path, "--port", "0", "--data", "file")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        pytest.param(
            "mongodb://127.0.0.1:1/",
            "No database answers where MONGODB_URI points to; start it, or unset MONGODB_URI for "
            "an embedded one.\n",
            id="nobody answers",
        ),
        pytest.param(
            "postgres://127.0.0.1/",
            "MONGODB_URI names no database: Invalid URI scheme: URI must begin with 'mongodb://' "
            "or 'mongodb+srv://'\n",
            id="no MongoDB",
        ),
    ],
)
def test_a_wrong_mongodb_uri_is_one_sentence(uri, said, tmp_path):
    assert (1, said) == refused(tmp_path, "--port", "0", uri=uri)


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_what_is_no_port_is_refused(port, tmp_path):
    code, said = refused(tmp_path, f"--port={port}")

    assert 2 == code
    assert said.endswith(f"error: argument --port: invalid port value: '{port}'\n")
