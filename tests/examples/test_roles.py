"""The example with logins: each role's rights for each kind of route, and what nobody sees."""

from __future__ import annotations

import re
from types import SimpleNamespace
from urllib.parse import quote

import bson
import pymongo
import pytest

from tests.audit.sse import Stream
from tests.browsing import CHROMIUM, MISSING, chromium
from tests.examples.running import EXAMPLES, free_port, new_database, started, wait_for
from tests.support import Client

PAGE = {"Accept": "text/html"}
WHY = {"X-Audit-Reason": "a test"}
ROLES = {"cleo": "clerk", "mara": "manager", "aziz": "auditor"}


@pytest.fixture(scope="module")
def application(mongod_uri, tmp_path_factory):
    """The application, running, with a token for each of its three people."""
    port = free_port()
    folder = tmp_path_factory.mktemp("roles")
    with (
        new_database(mongod_uri) as uri,
        started(EXAMPLES / "roles/app.py", folder=folder, PORT=port, MONGODB_URI=uri) as process,
        pymongo.MongoClient(uri) as mongo,
    ):
        wait_for(port, process)
        passwords = dict(process.stdout.readline().split()[1:] for _ in ROLES)
        client = Client(port)
        tokens = {name: token(client, name, word) for name, word in passwords.items()}
        database = mongo.get_default_database()
        yield SimpleNamespace(port=port, database=database, passwords=passwords, tokens=tokens)
        client.close()


def token(client, name, password):
    form = {"name": name, "password": password}
    return client.request("POST", "/token/", form=form).json["token"]


@pytest.fixture
def client(application):
    found = Client(application.port)
    yield found
    found.close()


@pytest.fixture
def ask(application, client):
    """A request in somebody's name."""

    def ask(name, method, path, json=None, **headers):
        sent = {"Authorization": f"Bearer {application.tokens[name]}", **headers}
        more = {} if json is None else {"json": json}
        return client.request(method, path, headers=sent, **more)

    return ask


@pytest.fixture
def made(ask, request):
    """The number of an employee of the sales department, with a salary: new for the test."""
    number = re.sub(r"\W+", "-", request.node.name)[-60:]
    person = {"number": number, "name": "Ida", "department": "sales"}
    assert 201 == ask("mara", "POST", "/employee/", person).status
    assert 201 == ask("mara", "POST", "/salary/", {"employee": number, "amount": 1000}).status
    return number


RIGHTS = [
    # name, method, path, body, clerk, manager, auditor
    ("list", "GET", "/employee/", None, 200, 200, 200),
    ("read", "GET", "/employee/{}/", None, 200, 200, 200),
    ("create", "POST", "/employee/", {"name": "Eva", "department": "sales"}, 403, 201, 403),
    ("update", "PATCH", "/employee/{}/", {"phone": "1"}, 200, 200, 403),
    ("put", "PUT", "/employee/{}/", {"phone": "1"}, 200, 200, 403),
    ("delete", "DELETE", "/employee/{}/", None, 403, 204, 403),
    ("history", "GET", "/employee/{}/history/", None, 403, 200, 200),
    ("version", "GET", "/employee/{}/history/1/", None, 403, 200, 200),
    ("compare", "GET", "/employee/{}/history/diff/?from=0", None, 403, 200, 200),
    ("blame", "GET", "/employee/{}/history/blame/", None, 403, 200, 200),
    ("past", "GET", "/employee/{}/?at=1", None, 403, 200, 200),
    ("restore", "POST", "/employee/{}/history/1/restore/", {}, 403, 200, 403),
    ("verify", "POST", "/employee/{}/history/replay/", None, 403, 200, 200),
    ("rebuild", "POST", "/employee/{}/history/replay/?mode=rebuild", None, 403, 403, 403),
    ("feed", "GET", "/history/", None, 403, 403, 200),
    ("salaries", "GET", "/salary/", None, 403, 200, 403),
    ("salary", "GET", "/salary/{}/", None, 403, 200, 403),
    ("salary-update", "PATCH", "/salary/{}/", {"amount": 2}, 403, 200, 403),
    ("salary-history", "GET", "/salary/{}/history/", None, 403, 200, 200),
]


@pytest.mark.parametrize(
    ("name", "method", "path", "body", "status"),
    [
        pytest.param(name, method, path, body, status, id=f"{ROLES[name]}-{kind}")
        for kind, method, path, body, *statuses in RIGHTS
        for name, status in zip(ROLES, statuses, strict=True)
    ],
)
def test_a_role_has_its_rights(ask, made, name, method, path, body, status):
    if (method, path) == ("POST", "/employee/"):
        body = {"number": f"{made}-2", **body}

    assert status == ask(name, method, path.format(made), body, **WHY).status


@pytest.mark.parametrize("path", ["/employee/", "/employee/E-1/history/", "/salary/", "/history/"])
def test_nobody_is_let_in_without_a_login(client, path):
    assert 401 == client.get(path).status


def test_a_forged_token_is_none(client):
    forged = {"Authorization": "Bearer mara"}

    assert 401 == client.get("/employee/", headers=forged).status


def test_a_token_is_given_for_the_right_password_alone(client):
    answer = client.request("POST", "/token/", form={"name": "mara", "password": "wrong"})

    assert (403, 405) == (answer.status, client.get("/token/").status)


def test_a_login_that_is_gone_lets_nobody_in_at_once(application, ask):
    logins = application.database.login
    login = logins.find_one_and_delete({"_id": "aziz"})
    try:
        assert 401 == ask("aziz", "GET", "/employee/").status
    finally:
        logins.insert_one(login)


def test_a_clerk_lists_the_own_department_alone(ask):
    shown = ask("cleo", "GET", "/employee/").json["items"]

    assert {"sales"} == {each["department"] for each in shown}


@pytest.mark.parametrize("method", ["GET", "PATCH"])
def test_a_clerk_does_not_reach_another_department(ask, method):
    body = {"phone": "1"} if method == "PATCH" else None

    assert 404 == ask("cleo", method, "/employee/E-2/", body).status


def test_a_clerk_moves_nobody(ask, made):
    answer = ask("cleo", "PATCH", f"/employee/{made}/", {"department": "stock"}, **WHY)

    assert 403 == answer.status
    assert "sales" == ask("mara", "GET", f"/employee/{made}/").json["department"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        pytest.param("PATCH", "/salary/{}/", {"amount": 2}, id="salary"),
        pytest.param("PATCH", "/employee/{}/", {"department": "stock"}, id="move"),
        pytest.param("DELETE", "/employee/{}/", None, id="end"),
    ],
)
def test_a_reason_is_required_and_kept(ask, made, method, path, body):
    refused = ask("mara", method, path.format(made), body)
    done = ask("mara", method, path.format(made), body, **WHY)

    last = ask("mara", "GET", f"{path.format(made)}history/").json["items"][0]
    assert (422, "Say why in X-Audit-Reason") == (refused.status, refused.problem["detail"])
    assert done.status < 300
    assert (2, "a test") == (last["version"], last["reason"])


def test_the_actor_is_who_logged_in(ask, made):
    ask("cleo", "PATCH", f"/employee/{made}/", {"phone": "9"})

    last = ask("aziz", "GET", f"/employee/{made}/history/").json["items"][0]
    assert {"kind": "user", "id": "cleo"} == last["actor"]


# What nobody sees --------------------------------------------------------------------------


def test_masked_amounts_are_in_no_answer_page_or_stream_and_not_in_the_history(
    application, ask, made
):
    amount, raised = 73214567, 83214568
    ask("mara", "PATCH", f"/salary/{made}/", {"amount": amount}, **WHY)
    below = f"/salary/{made}/history/"
    sent = {"Authorization": f"Bearer {application.tokens['aziz']}"}
    with Stream(application.port, below, **sent) as stream:
        ask("mara", "PATCH", f"/salary/{made}/", {"amount": raised}, **WHY)
        [told] = stream.take(1)

    below_it = ("", "3/", "3/?view=event", "diff/", "blame/")
    paths = [*(f"{below}{each}" for each in below_it), "/history/"]
    answers = [ask("aziz", "GET", path, **accept) for path in paths for accept in ({}, PAGE)]
    seen = [str(told), *(each.body.decode() for each in answers)]
    seen += map(str, application.database.bzz_history.find({"d": made}))
    assert {200} == {each.status for each in answers}
    assert [{"path": "/amount", "masked": True}] == told["changes"]
    assert not [each for each in seen if str(amount) in each or str(raised) in each]


def test_a_password_is_stored_as_a_hash_and_in_no_event(application):
    login = application.database.login.find_one({"_id": "mara"})
    history = b"".join(map(bson.encode, application.database.bzz_history.find()))

    assert application.passwords["mara"] not in login["password"]
    assert b"mara" in history
    assert login["password"].encode() not in history
    assert application.passwords["mara"].encode() not in history


def test_logins_have_no_routes(ask):
    assert 404 == ask("mara", "GET", "/login/mara/").status


# In a browser ------------------------------------------------------------------------------


def test_a_page_asks_to_log_in_first(client):
    answer = client.get("/employee/E-1/history/", headers=PAGE)

    assert 302 == answer.status
    assert "/login/?next=%2Femployee%2FE-1%2Fhistory%2F" == answer.headers["Location"]


def log_in(application, client, name="mara", *, password=None, there="/employee/", token=True):
    """Send the form as a browser does; the answer, and the cookies."""
    form = client.get("/login/")
    [mark] = re.findall(r'name="_xsrf" value="([^"]+)"', form.body.decode())
    cookie = form.headers["Set-Cookie"].partition(";")[0]
    sent = {"name": name, "password": password or application.passwords[name]}
    sent |= {"_xsrf": mark} if token else {}
    path = f"/login/?next={quote(there, safe='')}"
    answer = client.request("POST", path, form=sent, headers={"Cookie": cookie})
    cookies = [each.partition(";")[0] for each in answer.headers.get_all("Set-Cookie") or ()]
    return answer, "; ".join([cookie, *cookies])


def test_the_form_begins_a_session_and_leads_on(application, client):
    answer, cookies = log_in(application, client, there="/employee/E-1/history/")

    page = client.get(answer.headers["Location"], headers={**PAGE, "Cookie": cookies})
    assert 302 == answer.status
    assert (200, True) == (page.status, b"E-1" in page.body)


def test_a_wrong_password_begins_none(application, client):
    answer, cookies = log_in(application, client, password="wrong")

    assert (403, True) == (answer.status, b"No such name and password" in answer.body)
    assert "session" not in cookies


def test_the_form_is_refused_without_its_token(application, client):
    answer, _ = log_in(application, client, token=False)

    assert 403 == answer.status


def test_a_session_writes_nothing_without_the_token(application, client, made):
    _, cookies = log_in(application, client)

    answer = client.patch(f"/employee/{made}/", {"phone": "6"}, headers={"Cookie": cookies})
    assert 403 == answer.status


def test_a_session_counts_for_nothing_beside_another_authorization(application, client, made):
    _, cookies = log_in(application, client)
    sent = {"Cookie": cookies, "Authorization": "Basic bWFyYQ=="}

    assert 401 == client.patch(f"/employee/{made}/", {"phone": "6"}, headers=sent).status


def test_logging_out_takes_the_session_from_the_browser(application, client):
    _, cookies = log_in(application, client)
    mark = cookies.partition(";")[0].partition("=")[2]

    answer = client.request("POST", "/logout/", form={"_xsrf": mark}, headers={"Cookie": cookies})
    taken = next(each for each in answer.headers.get_all("Set-Cookie") if "session=" in each)
    assert (302, 'session=""') == (answer.status, taken.partition(";")[0])


@pytest.mark.parametrize("there", ["//evil.example", "/\\evil.example", "/\t/evil.example", "x:y"])
def test_the_form_leads_to_no_other_host(application, client, there):
    answer, _ = log_in(application, client, there=there)

    assert "/employee/" == answer.headers["Location"]


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_a_manager_restores_an_employee_in_the_browser(application, ask, made):
    ask("mara", "DELETE", f"/employee/{made}/", **WHY)
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{application.port}/employee/{made}/history/1/restore/")
        page.get_by_label("Name").fill("mara")
        page.get_by_label("Password").fill(application.passwords["mara"])
        page.get_by_role("button", name="Log in").click()
        page.locator("input[name=reason], textarea[name=reason]").fill("deleted by mistake")
        page.locator("form[method=post] button").click()
        page.wait_for_url("**/history/*")

    last = ask("aziz", "GET", f"/employee/{made}/history/").json["items"][0]
    assert ("restored", "deleted by mistake") == (last["operation"], last["reason"])
    assert "mara" == last["actor"]["id"]
