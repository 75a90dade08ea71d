"""`bzz subscriptions` and `bzz completion`: how subscriptions stand, and what becomes of them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from mongoengine import get_db
from rich.console import Console

from bzz.cli import output
from bzz.cli.main import bzz
from tests.audit.subscribers import Sickness, caught_up, hurry, working
from tests.cli.here import APPLICATION, run, told

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture
def two(house):
    """Two documents, Ana and Ben, with the events 1, 3 and 2, 4."""

    def make(**options):
        consumer = Sickness(house, **options)
        documents = [house.make(name=name) for name in ("Ana", "Ben")]
        for each in documents:
            house.write(lambda each=each: each.update(age=1))
        house.auditor.sequence()
        consumer.ana, consumer.ben = documents
        return consumer

    return make


@pytest.fixture
def ill(house, two):
    """The events of Ana, 1 and 3, are parked; those of Ben are done."""
    consumer = two(retries=0)
    consumer.ill.add(consumer.ana.pk)
    with working(house):
        caught_up(house)
    return consumer


# How they stand ---------------------------------------------------------------------------------


def test_all_subscriptions_are_listed_as_the_api_shows_them(house, two):
    two()
    house.auditor.subscribe("other", start="latest")(lambda event, ctx: None)

    index, other = told("subscriptions")
    assert ("index", "idle", 0, 4) == tuple(
        index[each] for each in ("name", "state", "position", "lag")
    )
    assert ("other", 4, None) == tuple(other[each] for each in ("name", "position", "age"))
    assert {"error", "worker", "parked", "delivered", "error_time"} <= index.keys()


def test_without_a_terminal_a_subscription_is_a_line_of_cells(house, two):
    two(start="latest")

    assert "index\tidle\t4\t0\t\t0\t0\t\n" == run("subscriptions").stdout


def test_without_subscriptions_nothing_is_listed(house):
    house.track()

    assert (0, "") == (run("subscriptions").exit_code, run("subscriptions").output)


def test_on_a_terminal_they_are_a_table(house, two, monkeypatch):
    two()
    shown = io.StringIO()
    monkeypatch.setattr(output.Output, "is_terminal", True)
    monkeypatch.setattr(
        output, "Console", lambda **options: Console(file=shown, width=120, **options)
    )

    assert 0 == run("subscriptions").exit_code
    title, line = shown.getvalue().splitlines()
    assert ["name", "state", "position", "lag", "age", "parked", "waiting", "error"] == (
        title.split()
    )
    assert ["index", "idle", "0", "4", "0", "s", "0", "0"] == line.split()


def test_one_subscription_is_shown_with_its_last_error(house, ill):
    shown = run("subscriptions", "show", "index").stdout.splitlines()
    [item] = told("subscriptions", "show", "index")

    assert ["name: index", "state: idle", "position: 4", "lag: 0", "parked: 2"] == shown[:5]
    assert f"error: ValueError: ill (at position 1, {item['error_time']})" in shown
    assert "worker: none" == shown[-1]
    assert (4, 2, "ValueError: ill") == (item["position"], item["parked"], item["error"])


def test_the_worker_of_a_subscription_is_told(house, two):
    two()
    with working(house):
        caught_up(house)
        [item] = told("subscriptions", "show", "index")

    assert ("running", True) == (item["state"], item["worker"].endswith(f":{os.getpid()}"))


def test_an_unknown_subscription_is_one_sentence(house, two):
    two()
    result = run("subscriptions", "show", "none")

    assert (1, "Error: There is no subscription 'none'; there are: index.\n") == (
        result.exit_code,
        result.stderr,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--app", APPLICATION, "subscriptions"],
        ["subscriptions", "--app", APPLICATION],
        ["subscriptions", "--app", APPLICATION, "show", "index"],
        ["subscriptions", "show", "index", "--app", APPLICATION],
    ],
)
def test_the_application_may_be_said_anywhere(house, two, arguments):
    two()

    assert 0 == CliRunner().invoke(bzz, arguments).exit_code


@pytest.mark.parametrize("arguments", [["subscriptions"], ["subscriptions", "show", "index"]])
def test_without_an_application_it_says_how_to_name_one(arguments):
    result = CliRunner().invoke(bzz, arguments)

    assert 2 == result.exit_code
    assert "Which application? Say --app module:auditor, or set BZZ_APP=" in result.stderr


# What is parked ---------------------------------------------------------------------------------


def test_parked_events_are_listed_with_what_they_are(house, ill):
    first, second = told("subscriptions", "parked", "index")

    assert (1, 1, "ValueError: ill", "parked") == tuple(
        first[each] for each in ("position", "attempts", "error", "state")
    )
    assert ("user", str(ill.ana.pk), 1, "created") == tuple(
        first["event"][each] for each in ("model", "document", "version", "operation")
    )
    assert (3, 0, None) == tuple(second[each] for each in ("position", "attempts", "error"))


def test_a_parked_event_is_a_line_of_cells(house, ill):
    line, _ = run("subscriptions", "parked", "index").stdout.splitlines()
    cells = line.split("\t")

    assert ["1", "user", str(ill.ana.pk), "1", "created", "1"] == cells[:6]
    assert "ValueError: ill" == cells[7]


@pytest.mark.parametrize(
    ("arguments", "positions"),
    [(["--after=1"], [3]), (["--limit=1"], [1]), (["--state=waiting"], []), ([], [1, 3])],
)
def test_some_of_the_parked_events_can_be_listed(house, ill, arguments, positions):
    assert positions == [
        each["position"] for each in told("subscriptions", "parked", "index", *arguments)
    ]


def test_more_events_than_a_page_are_listed(house, ill, monkeypatch):
    monkeypatch.setattr("bzz.cli.subscriptions._PAGE", 1)

    assert [1, 3] == [each["position"] for each in told("subscriptions", "parked", "index")]


def test_a_parked_event_of_a_model_that_is_tracked_no_more_is_listed_too(house, ill):
    tracked = house.auditor._tracked.pop(house.User)
    try:
        first, _ = told("subscriptions", "parked", "index")
    finally:
        house.auditor._tracked[house.User] = tracked

    assert ("user", str(ill.ana.pk), None) == tuple(
        first["event"][each] for each in ("model", "document", "version")
    )


# Retry and skip ---------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["3"]], ids=["all", "one"])
def test_what_is_tried_again_is_done_by_the_next_worker(house, ill, arguments):
    ill.ill.clear()
    result = run("subscriptions", "retry", "index", *arguments)

    assert (0, "1 stream will be tried again.\n") == (result.exit_code, result.stdout)
    assert "No worker has the subscription now; start one with: bzz worker\n" == result.stderr
    with working(house):
        caught_up(house)
    assert [2, 4, 1, 3] == ill.done


def test_where_nothing_is_parked_nothing_is_tried_again(house, two):
    two()

    assert [{"streams": 0}] == told("subscriptions", "retry", "index")


@pytest.mark.parametrize("command", [["retry", "index", "2"], ["skip", "index", "2", "--reason=x"]])
def test_what_is_not_parked_is_one_sentence(house, ill, command):
    result = run("subscriptions", *command)

    assert 1 == result.exit_code
    assert "The subscription 'index' has no parked event of position 2" in result.stderr


def test_an_event_is_skipped_with_who_and_why(house, ill):
    arguments = ["skip", "index", "1", "--reason=a test", "--actor=ana", "--yes"]
    [item] = told("subscriptions", *arguments)

    [kept] = told("subscriptions", "parked", "index", "--state=skipped")
    assert ("skipped", "a test") == (item["state"], item["reason"])
    assert (1, "user:ana", "a test") == tuple(
        kept[each] for each in ("position", "skipped_by", "reason")
    )


def test_without_a_name_the_system_skips(house, ill):
    run("subscriptions", "skip", "index", "1", "--reason=a test", "--yes")

    assert "system" == house.auditor.subscription("index").parked(skipped=True)[0].skipped_by
    line = run("subscriptions", "parked", "index", "--state=skipped").stdout
    assert line.endswith("\tskipped: a test\n")


def test_without_a_terminal_nothing_is_skipped_unasked(house, ill):
    result = run("subscriptions", "skip", "index", "1", "--reason=a test")

    assert 2 == result.exit_code
    assert f"Position 1, created user {ill.ana.pk} version 1: ValueError: ill\n" in result.stderr
    assert "There is nobody to ask" in result.stderr
    assert 2 == house.auditor.subscription("index").status().parked


def test_what_would_be_skipped_can_be_looked_at(house, ill):
    result = run("subscriptions", "skip", "index", "3", "--reason=a test", "--dry-run")

    assert (0, "") == (result.exit_code, result.stderr)
    assert result.stdout.endswith("version 2: waits behind another of its stream\n")
    assert 2 == house.auditor.subscription("index").status().parked


def test_an_event_is_not_skipped_without_a_reason(house, ill):
    result = run("subscriptions", "skip", "index", "1", "--yes")

    assert 2 == result.exit_code
    assert "Missing option '--reason'" in result.stderr
    blank = run("subscriptions", "skip", "index", "1", "--yes", "--reason= ")
    assert 2 == blank.exit_code
    assert "Error: A skipped event needs a reason: say why it is left out.\n" in blank.stderr


# Restart ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "position", "again", "passed", "forgotten"),
    [
        pytest.param("first", 0, 4, 0, 2, id="first"),
        pytest.param("3", 2, 2, 0, 1, id="position"),
        pytest.param("latest", 5, 0, 1, 0, id="latest"),
        pytest.param("1999-01-01", 0, 4, 0, 2, id="past"),
        pytest.param("2999-01-01T00:00:00Z", 5, 0, 1, 0, id="future"),
    ],
)
def test_a_restart_says_first_what_comes_again(
    house, ill, start, position, again, passed, forgotten
):
    house.make(name="Cem")
    house.auditor.sequence()
    arguments = ["subscriptions", "restart", "index", "--from", start]

    [plan] = told(*arguments, "--dry-run")
    assert 4 == house.auditor.subscription("index").status().position
    assert {
        "name": "index",
        "position": position,
        "head": 5,
        "again": again,
        "passed": passed,
        "forgotten": forgotten,
    } == plan
    assert [plan] == told(*arguments, "--yes")
    status = house.auditor.subscription("index").status()
    assert (position, 2 - forgotten) == (status.position, status.parked)


def test_the_preview_of_a_restart_is_for_people(house, ill):
    result = run("subscriptions", "restart", "index", "--from=first", "--yes")

    assert (
        "It goes on behind position 0; the last one is 4.\n"
        "4 events that it has dealt with will come again.\n"
        "2 events that it has set aside will be forgotten.\n" == result.stderr
    )
    assert "index goes on behind position 0.\n" == result.stdout


def test_without_a_terminal_nothing_is_restarted_unasked(house, ill):
    result = run("subscriptions", "restart", "index", "--from=first")

    assert 2 == result.exit_code
    assert 4 == house.auditor.subscription("index").status().position


@pytest.mark.parametrize("start", ["0", "sometime", "9" * 30, "2026-13-01"])
def test_what_is_no_start_is_refused(house, ill, start):
    result = run("subscriptions", "restart", "index", "--from", start)

    assert 2 == result.exit_code
    assert "is neither 'first', 'latest', a position from 1, nor a time" in result.stderr


def test_a_stopped_subscription_says_so_and_goes_on_after_a_restart(house, two):
    two(start="latest")
    with working(house):
        caught_up(house)
    house.auditor.begin_epoch()

    [before] = told("subscriptions")
    assert "stopped" == before["state"]
    assert "restored from a backup" in before["error"]
    told("subscriptions", "restart", "index", "--from=latest", "--yes")
    [after] = told("subscriptions")
    assert "idle" == after["state"]


# Replay -----------------------------------------------------------------------------------------


def test_a_replay_fills_new_collections(house, two):
    two()
    result = run("subscriptions", "replay", "index", "--into=v2", "--after=2")

    assert (0, "2 events went to the consumer, up to position 4.\n") == (
        result.exit_code,
        result.stdout,
    )
    assert [3, 4] == sorted(each["_id"] for each in get_db().done_v2.find())


def test_a_replay_tells_how_far_it_is(house, two):
    two()
    seen = []
    house.auditor.subscription("index").replay("v2", progress=seen.append)

    assert (0, 0) == (seen[0].position, seen[0].delivered)
    assert sorted(each.position for each in seen) == [each.position for each in seen]


@pytest.mark.parametrize(
    ("into", "message"),
    [
        ("a-b", "A replay goes into a target named with letters, digits and '_', not 'a-b'."),
        ("full", "The collection 'done_full' is not empty: name another target"),
    ],
)
def test_a_replay_that_cannot_be_is_one_sentence(house, two, into, message):
    two()
    get_db().done_full.insert_one({})
    result = run("subscriptions", "replay", "index", f"--into={into}")

    assert 1 == result.exit_code
    assert message in result.stderr


def test_a_replay_ends_at_the_first_event_that_fails(house, ill):
    result = run("subscriptions", "replay", "index", "--into=v2")

    assert 1 == result.exit_code
    assert "position 1" in result.stderr


# Completion -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("bash", "complete -o nosort -F _bzz_completion bzz"),
        ("zsh", "#compdef bzz"),
        ("fish", "complete --no-files --command bzz"),
    ],
)
def test_what_a_shell_needs_is_printed(shell, line):
    result = CliRunner().invoke(bzz, ["completion", shell])

    assert 0 == result.exit_code
    assert line in result.stdout
    assert "_BZZ_COMPLETE=" in result.stdout


def test_another_shell_is_refused():
    result = CliRunner().invoke(bzz, ["completion", "csh"])

    assert 2 == result.exit_code
    assert "'csh' is not one of 'bash', 'zsh', 'fish'" in result.stderr


def test_the_help_says_where_it_belongs():
    assert 'eval "$(bzz completion bash)"' in CliRunner().invoke(bzz, ["completion", "-h"]).output


def completed(*words):
    """What may stand in the place of the last word."""
    *arguments, incomplete = words
    found = ShellComplete(bzz, {}, "bzz", "_BZZ_COMPLETE").get_completions(arguments, incomplete)
    return [each.value for each in found]


def test_commands_are_completed():
    assert ["serve"] == completed("ser")


@pytest.mark.parametrize(
    "words",
    [
        ("--app", APPLICATION, "subscriptions", "show", ""),
        ("subscriptions", "--app", APPLICATION, "retry", ""),
        ("subscriptions", "skip", "--app", APPLICATION, ""),
        ("--app", APPLICATION, "worker", "--only", ""),
    ],
)
def test_names_of_subscriptions_are_completed(house, two, words):
    two()
    house.auditor.subscribe("other")(lambda event, ctx: None)

    assert ["index", "other"] == completed(*words)
    assert ["other"] == completed(*words[:-1], "o")


def test_the_environment_names_the_application_of_a_completion(house, two, monkeypatch):
    two()
    monkeypatch.setenv("BZZ_APP", APPLICATION)

    assert ["index"] == completed("subscriptions", "show", "")


@pytest.mark.parametrize("app", [None, "nonsense", "no_such:auditor", "tests.cli.served:auditor"])
def test_a_completion_without_an_application_is_empty(app, monkeypatch):
    if app is not None:
        monkeypatch.setenv("BZZ_APP", app)

    assert [] == completed("subscriptions", "show", "")


def test_a_completion_says_nothing_but_names(tmp_path):
    (tmp_path / "loud.py").write_text(
        "print('Hello')\nfrom bzz.audit import Auditor\nauditor = Auditor()\n"
        "auditor.subscribe('index')(print)\n"
    )
    asked = {"_BZZ_COMPLETE": "zsh_complete", "COMP_WORDS": "bzz subscriptions show i"}
    result = subprocess.run(
        [sys.executable, "-c", "from bzz.cli.main import bzz; bzz(prog_name='bzz')"],
        cwd=tmp_path,
        env={**os.environ, **asked, "COMP_CWORD": "3", "BZZ_APP": "loud:auditor"}
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ("plain\nindex\n_\n", "") == (result.stdout, result.stderr)
