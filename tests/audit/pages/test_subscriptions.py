"""Subscriptions as pages: how they stand, their parked events, to retry one and to skip it."""

from __future__ import annotations

import pytest

from bzz import flatten
from tests.audit.pages.asking import html_of, links, page, preview, send, words
from tests.audit.pages.looking import EVIL, PHONE, grave, opened
from tests.audit.subscribers import Guarded, caught_up, hurry, working
from tests.support import Server

ROOT = "/history/subscriptions/"
INDEX = f"{ROOT}index/"


@pytest.fixture
def server(house, monkeypatch):
    hurry(monkeypatch)
    with Server(flatten([house.routes(Guarded), house.auditor.routes(handler=Guarded)])) as server:
        yield server


@pytest.fixture
def parked(house, server):
    """Ana's two events are parked by 'index', which raises what looks like HTML."""
    house.ill = [True]

    @house.auditor.subscribe("index", model=house.User, retries=0)
    def index(event, ctx):
        if event.document == house.ana.pk and house.ill:
            raise ValueError(EVIL)

    house.ana = house.make(name=EVIL)
    house.make(name="Ben")
    house.write(lambda: house.ana.update(age=3))
    with working(house):
        caught_up(house)
    return house


@pytest.fixture(params=[True, False], ids=["with script", "without script"])
def tab(request, browser, server):
    with opened(browser, server, java_script_enabled=request.param) as page:
        yield page


# What stands there ---------------------------------------------------------------------------


def test_the_activity_tells_how_they_stand_and_leads_to_them(parked, server):
    html = page(server, "/history/")

    assert INDEX in links(html)
    assert "index idle nothing 2" in words(html)


def test_an_activity_without_subscriptions_says_nothing_of_them(house, server):
    house.make(name="Ana")
    house.auditor.sequence()

    assert "Subscription" not in words(page(server, "/history/"))


def test_all_are_listed_with_how_far_they_are_behind(parked, server):
    parked.auditor.subscribe("other", start="first")(print)
    text = words(page(server, ROOT))

    assert "index idle nothing 2" in text
    assert "other idle 3 positions, " in text


def test_where_there_is_none_the_page_says_so(house, server):
    assert "There are none that you could see." in words(page(server, ROOT))


def test_one_is_shown_with_its_parked_events_and_what_was_raised(parked, server):
    text = words(page(server, INDEX))

    assert "ValueError: <script>" in text
    assert "Parked: 2" in text
    assert "Tried 1 time; set aside" in text
    assert "Set aside behind an earlier event of its document" in text


def test_an_event_leads_to_its_version(parked, server):
    assert f"/user/{parked.ana.pk}/history/1/" in links(page(server, INDEX))


def test_others_get_json(parked, server):
    answer = server.get(INDEX, headers={"Accept": "*/*"})

    assert "application/json" == answer.headers["Content-Type"]


def test_parked_events_come_in_pages(parked, server):
    first = page(server, f"{INDEX}?limit=1")
    [later] = [each for each in links(first) if "after=" in each]

    assert "position 1" in words(first)
    assert "position 3" in words(page(server, later))


def test_who_may_not_read_them_sees_none(parked, server):
    assert "There are none that you could see." in words(page(server, ROOT, **{"X-Never": "feed"}))
    page(server, INDEX, 403, **{"X-Never": "feed"})


def test_who_may_not_decide_is_offered_nothing_and_not_told_what_was_raised(parked, server):
    html = page(server, INDEX, **{"X-Never": "rebuild"})

    assert not [each for each in links(html) if "/parked/" in each]
    assert "ValueError" not in words(html)


def test_an_unknown_one_is_a_page_too(house, server):
    assert "There is no subscription 'no'." in words(page(server, f"{ROOT}no/", 404))


# Decisions -----------------------------------------------------------------------------------


def test_a_retry_is_asked_for_and_then_done(parked, server):
    html, form, cookie = preview(server, f"{INDEX}parked/1/retry/")
    assert "A worker tries the parked events of this document again" in words(html)
    answer = send(server, f"{INDEX}parked/1/retry/", form, cookie)
    assert (303, INDEX) == (answer.status, answer.headers["Location"])
    parked.ill.clear()
    with working(parked):
        caught_up(parked)

    assert "There are none." in words(page(server, INDEX))


def test_a_skip_keeps_the_reason(parked, server):
    _, form, cookie = preview(server, f"{INDEX}parked/1/skip/")
    answer = send(server, f"{INDEX}parked/1/skip/", {**form, "reason": "it is known"}, cookie)
    assert 303 == answer.status

    assert "it is known" in words(page(server, f"{INDEX}?state=skipped"))


def test_a_skip_without_a_reason_is_explained(parked, server):
    _, form, cookie = preview(server, f"{INDEX}parked/1/skip/")
    answer = send(server, f"{INDEX}parked/1/skip/", form, cookie)

    assert 422 == answer.status
    assert "A skipped event needs a reason" in words(html_of(answer))


@pytest.mark.parametrize("what", ["retry", "skip"])
def test_a_form_of_another_site_is_refused(parked, server, what):
    answer = send(server, f"{INDEX}parked/1/{what}/", {"reason": "x"})

    assert 403 == answer.status
    assert "parked" == server.get(INDEX).json["items"][0]["state"]


@pytest.mark.parametrize("what", ["retry", "skip"])
def test_what_is_not_parked_cannot_be_decided(parked, server, what):
    page(server, f"{INDEX}parked/2/{what}/", 404)


@pytest.mark.parametrize("what", ["retry", "skip"])
def test_who_may_not_decide_is_not_asked(parked, server, what):
    page(server, f"{INDEX}parked/1/{what}/", 403, **{"X-Never": "rebuild"})


@pytest.mark.parametrize("what", ["retry", "skip"])
def test_a_get_by_the_api_is_not_there(parked, server, what):
    assert 405 == server.get(f"{INDEX}parked/1/{what}/", headers={"Accept": "*/*"}).status


# In a browser --------------------------------------------------------------------------------


def test_from_the_activity_to_an_event_that_is_left_out(tab, parked):
    tab.goto("/history/")
    tab.get_by_role("link", name="index", exact=True).click()
    tab.get_by_role("link", name="Leave it out at position 1").click()
    tab.get_by_label("Reason").fill("a duplicate")
    tab.get_by_role("button", name="Leave it out").click()
    tab.get_by_role("link", name="Left out: 1").click()

    assert "a duplicate" in tab.inner_text("main")
    assert "owned" not in tab.title()


def test_a_retry_by_the_keyboard(tab, parked):
    tab.goto(f"{INDEX}parked/1/retry/")
    tab.get_by_role("button", name="Try again").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_url(f"**{INDEX}")

    assert "Waiting for their next try: 2" in tab.inner_text("main")


PAGES = ["/history/", ROOT, INDEX, f"{INDEX}parked/1/retry/", f"{INDEX}parked/1/skip/"]


@pytest.mark.parametrize("path", PAGES)
def test_nothing_stands_over_the_edge_of_a_phone(browser, server, parked, path):
    with opened(browser, server, viewport=PHONE) as tab:
        tab.goto(path)

        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(browser, server, parked, path, scheme):
    with opened(browser, server, color_scheme=scheme, bypass_csp=True) as tab:
        tab.goto(path)

        assert [] == grave(tab)
