"""Commands as processes: at terminals, in pipes, interrupted, and completed by a shell."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from mongoengine import Document, IntField, StringField

from bzz.audit import Auditor
from tests.cli import here
from tests.cli.here import run, told
from tests.house import own_receivers, own_registry

ROOT = Path(__file__).parents[2]
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7]m")
STEERING = re.compile(r"[\x80-\x9f\u202e]|\x1b\]|\x07")


@pytest.fixture
def shop(database, mongod_uri, monkeypatch):
    """An order with two versions, and the environment of commands about it."""
    for name, value in {
        "MONGODB_URI": mongod_uri,
        "DATABASE": database.name,
        "PYTHONPATH": str(ROOT),
        "BZZ_APP": "tests.cli.shop:auditor",
        "TERM": "xterm-256color",
        "COLUMNS": "120",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    with own_registry(), own_receivers():

        class Order(Document):
            number = StringField(primary_key=True)
            customer = StringField()
            total = IntField()

        auditor = Auditor(work=False)
        auditor.track(Order)
        auditor.order = Order
        auditor.write(lambda: Order(number="A", customer="Ana", total=1).save())
        auditor.write(lambda: Order.objects(pk="A").update(customer="\x9b31m\u202e\x1b]0;x\x07"))
        yield auditor
        auditor.close()


def bzz(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "bzz", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


class Terminal:
    """A command at a terminal: what it has printed, and what somebody types."""

    def __init__(self, *arguments, stdout=None):
        self._outside, inside = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bzz", *arguments],
            stdin=inside,
            stdout=inside if stdout is None else stdout,
            stderr=inside,
            start_new_session=True,
            # Ctrl-C is sent to those whose terminal it is.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inside)
        self.printed = b""

    def read(self):
        """Take what is printed; whether there may be more."""
        try:
            chunk = os.read(self._outside, 65536)
        except OSError:  # the other side was closed
            return False
        self.printed += chunk
        return bool(chunk)

    def until(self, text):
        while text.encode() not in self.printed:
            assert self.read(), self.printed

    def type(self, text):
        os.write(self._outside, text.encode())

    def end(self):
        """Its exit code and all that it has printed."""
        while self.read():
            pass
        os.close(self._outside)
        return self.process.wait(60), self.printed.decode()


def at_a_terminal(*arguments):
    return Terminal(*arguments).end()


# At a terminal --------------------------------------------------------------------------------


def test_what_was_and_what_is_have_their_colours(shop):
    code, printed = at_a_terminal("diff", "order", "A", "0", "1")

    assert 0 == code
    assert "\x1b[32m+ /total: 1\x1b[0m" in printed


def test_without_colours_there_are_none(shop, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    _, printed = at_a_terminal("diff", "order", "A", "0", "1")

    assert "+ /total: 1" in printed
    assert not COLOUR.search(printed)


def test_in_a_pipe_there_are_neither_colours_nor_tables(shop):
    result = bzz("history", "order", "A")

    assert "\x1b" not in result.stdout
    assert 2 == result.stdout.count("\tsystem\t")


def test_a_document_is_indented(shop):
    _, printed = at_a_terminal("show", "order", "A", "1")

    assert '{\r\n  "id": "A",\r\n' in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ("history", "order", "A", "--json"),
        ("show", "order", "A"),
        ("show", "order", "A", "--json"),
        ("diff", "order", "A"),
        ("diff", "order", "A", "--patch"),
        ("blame", "order", "A"),
        ("export",),
        ("restore", "order", "A", "1", "--dry-run"),
    ],
)
def test_no_value_steers_the_terminal(shop, arguments):
    code, printed = at_a_terminal(*arguments)

    assert 0 == code
    assert "31m" in printed
    assert not STEERING.search(printed)


def test_json_at_a_terminal_says_the_same(shop):
    _, printed = at_a_terminal("show", "order", "A", "--json")

    assert json.loads(bzz("show", "order", "A").stdout) == json.loads(printed)


def test_a_bar_does_not_take_what_goes_elsewhere(shop, tmp_path):
    shop.order._get_collection().update_one({"_id": "A"}, {"$set": {"total": 9}})
    with (tmp_path / "out").open("w") as file:
        code, printed = Terminal("verify", stdout=file).end()

    assert 3 == code
    assert "Verifying" in printed
    assert "order A: ~ /total: 1 -> 9\n" == (tmp_path / "out").read_text()


def test_lines_beside_a_bar_stand_alone(shop):
    shop.order._get_collection().update_one({"_id": "A"}, {"$set": {"total": 9}})
    code, printed = at_a_terminal("verify")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed).replace("\r", "\n").splitlines()

    assert 3 == code
    assert "order A: ~ /total: 1 -> 9" in [line.strip() for line in lines]


# Questions ------------------------------------------------------------------------------------


def customer(shop):
    return shop.order.objects.get(pk="A").customer


def test_a_yes_at_the_question_does_it(shop):
    terminal = Terminal("restore", "order", "A", "1")
    terminal.until("Restore order A? [y/N]: ")
    assert "Ana" != customer(shop)
    terminal.type("y\n")

    assert 0 == terminal.end()[0]
    assert "Ana" == customer(shop)


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [("n\n", 1, "Nothing was done."), ("\x04", 1, "Nothing was done."), ("\x03", 130, "Interr")],
    ids=["no", "end of input", "Ctrl-C"],
)
def test_all_else_does_nothing(shop, typed, code, said):
    terminal = Terminal("restore", "order", "A", "1")
    terminal.until("Restore order A? [y/N]: ")
    terminal.type(typed)
    ended, printed = terminal.end()

    assert code == ended
    assert said in printed
    assert "Ana" != customer(shop)


# Pipes and signals ----------------------------------------------------------------------------


@pytest.fixture
def many(shop):
    """The shop with five thousand orders more."""
    shop.insert(shop.order(number=f"B{n}", customer="x" * 200) for n in range(5000))
    return shop


def test_whoever_reads_only_the_head_sees_no_traceback(many):
    command = f"{sys.executable} -m bzz export | head -n 1"
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False
    )

    assert 1 == json.loads(result.stdout)["position"]
    assert "" == result.stderr


def test_an_export_ends_at_ctrl_c_between_two_events(many):
    process = subprocess.Popen(
        [sys.executable, "-m", "bzz", "export"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # a line at a time, and the rest
    )
    lines = [process.stdout.readline()]
    process.send_signal(signal.SIGINT)
    rest, said = (each.decode() for each in process.communicate(timeout=60))
    lines += rest.splitlines()

    assert 130 == process.returncode
    told = said.replace(",", "").replace("event printed", "events printed")
    assert f"{len(lines)} events printed; go on with --after " in told
    assert int(said.split()[-1]) == json.loads(lines[-1])["position"]
    assert len(lines) < 5002


def test_memory_does_not_grow_with_what_is_exported(many):
    code = (
        "import resource, sys; from click.testing import CliRunner; from bzz.cli.main import bzz\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "sys.stdout = open('/dev/null', 'w')\n"
        "bzz(['export', '--before', '1000'], standalone_mode=False); first = peak()\n"
        "bzz(['export'], standalone_mode=False); sys.stderr.write(f'\\n{peak() - first}')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )

    assert 0 == result.returncode, result.stderr
    assert int(result.stderr.split()[-1]) < 8 * 1024


# Applications that are not there --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "Which application? Say --app module:auditor, or set BZZ_APP=module:auditor."),
        ("nowhere:auditor", "There is no module 'nowhere'; run this where it can be imported."),
        ("tests.cli.shop:nothing", "tests.cli.shop has no 'nothing'."),
        ("tests.cli.shop", "'tests.cli.shop' is not of the form module:attribute"),
    ],
)
def test_an_application_that_is_not_there_is_a_wrong_argument(shop, monkeypatch, name, message):
    monkeypatch.setenv("BZZ_APP", name)
    result = bzz("history", "order", "A")

    assert 2 == result.returncode
    assert message in result.stderr


def test_a_database_that_does_not_answer_is_told(shop, monkeypatch):
    monkeypatch.setenv(
        "MONGODB_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200&replicaSet=x"
    )
    result = bzz("history", "order", "A")

    assert 1 == result.returncode
    assert result.stderr.startswith("Error: ")
    assert "Traceback" not in result.stderr


def test_a_database_of_tests_has_no_positions_to_tell_events_by(mock_database, monkeypatch):
    with own_registry():

        class Page(Document):
            title = StringField()

        auditor = Auditor(work=False)
        auditor.track(Page)
        page = auditor.write(lambda: Page(title="a").save())
        monkeypatch.setattr(here, "auditor", auditor)
        result = run("history")

        assert 1 == result.exit_code
        assert "which only a replica set has: name a model and an id." in result.stderr
        assert [1] == [each["version"] for each in told("history", "page", str(page.pk))]


# Completion -----------------------------------------------------------------------------------


def completed(line):
    """What a shell is told for the last word of a line."""
    words = line.split(" ")
    result = subprocess.run(
        [sys.executable, "-c", "from bzz.cli.main import bzz; bzz(prog_name='bzz')"],
        env={
            **os.environ,
            "_BZZ_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (result.returncode, result.stderr)
    return [each.split(",", 1)[1] for each in result.stdout.split()]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bzz hist", ["history"]),
        ("bzz history or", ["order"]),
        ("bzz history x", []),
        ("bzz verify ", ["order"]),
        ("bzz undo --model o", ["order"]),
        ("bzz show order A ", ["2", "1"]),
        ("bzz diff order A 1", ["1"]),
        ("bzz restore order B ", []),
        ("bzz show page A ", []),
    ],
)
def test_a_shell_completes_models_and_versions(shop, monkeypatch, line, expected):
    monkeypatch.setenv("CHATTY", "1")

    assert expected == completed(line)


def test_the_application_at_the_command_is_the_one_that_is_asked(shop, monkeypatch):
    monkeypatch.delenv("BZZ_APP")

    assert ["order"] == completed("bzz history --app tests.cli.shop:auditor o")
    assert ["order"] == completed("bzz --app tests.cli.shop:auditor history o")


@pytest.mark.parametrize("name", ["", "nowhere:auditor", "tests.cli.shop:nothing", "nothing"])
def test_without_an_application_nothing_is_completed_and_nothing_said(shop, monkeypatch, name):
    monkeypatch.setenv("BZZ_APP", name)

    assert [] == completed("bzz history o")
    assert [] == completed("bzz show order A ")
