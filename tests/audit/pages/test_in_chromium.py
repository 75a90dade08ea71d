"""The pages in a real Chromium: every flow, with scripts and without, for eyes, keys and ears."""

from __future__ import annotations

from typing import Any

import pytest

from tests.audit.pages.looking import EVIL, PHONE, grave, opened
from tests.support import Server

LONG = "A sentence that is long enough to be shown as one text, with an old word in it. " * 4


@pytest.fixture
def ana(server):
    """A document with all that pages have to show: long values, deep ones, evil ones."""
    path = server.post("/user/", {"name": "Ana", "age": 1}).headers["Location"]
    server.put(path, {"age": 2, "tags": ["a", "b"]}, headers={"X-User": "bea"})
    server.put(path, {"secret": LONG}, headers={"X-User": "cy", "X-Audit-Reason": "a note"})
    note = {"deep": {"er": ["x", {"y": "z" * 200}]}, EVIL: EVIL}
    server.put(path, {"secret": LONG.replace("old", "new"), "note": note})
    server.put(path, {"home": {"street": "Rua A", "city": "Rio"}, "name": EVIL})
    return path


@pytest.fixture(params=[True, False], ids=["with script", "without script"])
def tab(request, browser, server):
    """A browser's tab, which may run scripts or not; fails when it has something to complain."""
    with opened(browser, server, java_script_enabled=request.param) as page:
        yield page


@pytest.fixture
def scripted(browser, server):
    """A tab that runs scripts."""
    with opened(browser, server) as page:
        yield page


def pages(path: str) -> list[str]:
    """The addresses of all kinds of pages about a document."""
    below = ["", "3/", "5/", "diff/?from=1&to=5", "diff/", "blame/", "2/restore/", "5/undo/"]
    return [f"{path}history/{each}" for each in [*below, "99/", "?actor=nobody", "1/undo/"]]


# Flows ---------------------------------------------------------------------------------------


def test_reading_from_the_timeline_on(tab, ana):
    tab.goto(f"{ana}history/")
    tab.get_by_role("link", name="Version 2", exact=True).click()
    assert "Version 2 of 5" in tab.inner_text("h1")
    tab.get_by_role("link", name="Next").click()
    assert "Version 3 of 5" in tab.inner_text("h1")
    tab.get_by_role("link", name="Blame").click()

    assert "Blame" == tab.inner_text("h1")


def test_filtering_by_the_form(tab, ana):
    tab.goto(f"{ana}history/")
    tab.get_by_text("Filter", exact=True).first.click()
    tab.get_by_label("Actor").fill("bea")
    tab.get_by_role("button", name="Filter").click()

    assert 1 == tab.locator(".timeline > li").count()
    assert "actor=bea" in tab.url
    tab.get_by_role("link", name="Show all").click()
    assert 5 == tab.locator(".timeline > li").count()


def test_comparing_two_versions_that_were_picked(tab, ana):
    tab.goto(f"{ana}history/")
    tab.get_by_label("Version 1: from").check()
    tab.get_by_label("Version 4: to").check()
    tab.get_by_role("button", name="Compare").click()

    assert "Version 1 and version 4" == tab.inner_text("h1")


def test_paging_there_and_back(tab, ana):
    tab.goto(f"{ana}history/?limit=2")
    tab.get_by_role("link", name="Older").click()
    assert ["v3", "v2"] == ids_of(tab)
    tab.get_by_role("link", name="Newer").click()

    assert ["v5", "v4"] == ids_of(tab)


def ids_of(tab: Any) -> list[str]:
    return [each.get_attribute("id") for each in tab.locator(".timeline > li").all()]


def test_a_restore_is_seen_afterwards(tab, ana):
    tab.goto(f"{ana}history/2/")
    tab.get_by_role("link", name="Restore this version").click()
    tab.get_by_label("Reason").fill("it was better")
    tab.get_by_role("button", name="Restore version 2").click()
    new = tab.locator("#v6")

    assert tab.url.endswith("history/#v6")
    assert "restored version 2" in new.inner_text()
    assert "it was better" in new.inner_text()
    assert colour(new) != colour(tab.locator("#v5"))
    box = new.bounding_box()
    assert 0 <= box["y"] < tab.viewport_size["height"]


def colour(element: Any) -> str:
    return element.evaluate("each => getComputedStyle(each).backgroundColor")


def test_a_single_field_is_chosen_and_restored(tab, server, ana):
    tab.goto(f"{ana}history/2/restore/")
    for each in tab.get_by_role("checkbox").all():
        each.uncheck()
    tab.get_by_label("name", exact=True).check()
    tab.get_by_role("button", name="Preview these alone").click()
    assert 1 == tab.locator(".changes tbody tr").count()
    tab.get_by_label("Reason").fill("the name alone")
    tab.get_by_role("button", name="Restore version 2").click()
    tab.wait_for_url("**/history/#v6")
    now = server.get(ana).json

    assert "Ana" == now["name"]
    assert now["note"] is not None


def test_a_restore_without_a_reason_is_not_sent(tab, ana):
    tab.goto(f"{ana}history/2/restore/")
    tab.get_by_role("button", name="Restore version 2").click()

    assert tab.url.endswith("/restore/")


def test_an_undo_that_was_overtaken_is_explained_and_can_be_sent_again(tab, server, ana):
    tab.goto(f"{ana}history/5/undo/")
    server.put(ana, {"age": 50})
    tab.get_by_label("Reason").fill("a mistake")
    tab.get_by_role("button", name="Undo version 5").click()
    assert "Changed in the meantime" in tab.get_by_role("alert").inner_text()
    tab.get_by_role("button", name="Undo version 5").click()

    assert tab.url.endswith("history/#v7")
    assert (50, "Ana") == tuple(server.get(ana).json[each] for each in ("age", "name"))


def test_a_deleted_document_comes_back(tab, server, ana):
    server.delete(ana)
    tab.goto(f"{ana}history/")
    tab.get_by_role("link", name="Bring it back").click()
    tab.get_by_label("Reason").fill("deleted by mistake")
    tab.get_by_role("button", name="Bring it back").click()

    assert 200 == server.get(ana).status
    assert 0 == tab.get_by_text("is deleted").count()


def test_what_looks_like_html_is_text(tab, ana):
    for address in pages(ana):
        tab.goto(address)

        assert "owned" != tab.title()
        assert 0 == tab.locator("img").count()


# Of all models -------------------------------------------------------------------------------


@pytest.fixture
def everything(house, ana):
    """A server of the activity too, with some."""
    with Server([*house.routes(), *house.auditor.routes()]) as server:
        headers = {"X-User": "bot", "X-Correlation-Id": "import-1", "X-Audit-Reason": EVIL[:40]}
        server.put(ana, {"age": 99}, headers=headers)
        server.post("/team/", {"name": "Reds"}, headers=headers)
        house.auditor.sequence()
        yield server


@pytest.mark.parametrize("scripts", [True, False])
def test_a_request_is_found_and_taken_back(browser, everything, ana, scripts):
    with opened(browser, everything, java_script_enabled=scripts) as tab:
        tab.goto("/history/")
        tab.get_by_role("link", name="Undo this request").first.click()
        tab.get_by_label("Reason").fill("wrong file")
        tab.get_by_role("button", name="Undo the request").click()

        assert "2 new versions" in tab.get_by_role("status").inner_text()
        assert 2 == everything.get(ana).json["age"]


def test_the_activity_is_filtered_by_its_form(browser, everything):
    with opened(browser, everything, java_script_enabled=False) as tab:
        tab.goto("/history/")
        tab.get_by_text("Filter", exact=True).first.click()
        tab.get_by_label("Model").select_option("team")
        tab.get_by_role("button", name="Filter").click()

        assert 1 == tab.get_by_role("article").count()


ACROSS = ["/history/", "/history/?actor=bot", "/history/restore/?correlation=import-1"]


def test_the_activity_is_no_wider_than_a_phone(browser, everything):
    with opened(browser, everything, viewport=PHONE) as tab:
        for address in ACROSS:
            tab.goto(address)

            assert tab.evaluate("document.documentElement.scrollWidth") <= 360, address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_activity_is_accessible(browser, everything, scheme):
    with opened(browser, everything, color_scheme=scheme, bypass_csp=True) as tab:
        for address in ACROSS:
            tab.goto(address)

            assert [] == grave(tab), address


# The slider ----------------------------------------------------------------------------------


def test_the_slider_shows_other_versions_in_place(scripted, ana):
    scripted.goto(f"{ana}history/5/")
    slider = scripted.get_by_role("slider", name="Version")
    slider.focus()
    scripted.keyboard.press("ArrowLeft")
    scripted.keyboard.press("ArrowLeft")
    scripted.wait_for_url("**/history/3/")

    assert "Version 3" in scripted.inner_text("h1")
    assert "3 of 5" == scripted.locator("output").inner_text()
    assert slider.evaluate("each => each === document.activeElement")
    assert scripted.title().startswith("Version 3")


def test_without_scripts_there_are_links_and_no_slider(browser, server, ana):
    with opened(browser, server, java_script_enabled=False) as tab:
        tab.goto(f"{ana}history/3/")

        assert not tab.locator("input[type=range]").is_visible()
        assert tab.get_by_role("link", name="Previous").is_visible()


# For everybody -------------------------------------------------------------------------------


def test_nothing_is_wider_than_a_phone(browser, server, ana):
    with opened(browser, server, viewport=PHONE) as tab:
        for address in [*pages(ana), f"{ana}history/?actor=bea"]:
            tab.goto(address)
            for details in tab.locator("details").all():
                details.evaluate("each => each.open = true")

            assert tab.evaluate("document.documentElement.scrollWidth") <= 360, address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_are_accessible(browser, server, ana, scheme):
    with opened(browser, server, color_scheme=scheme, bypass_csp=True) as tab:
        for address in [*pages(ana), f"{ana}history/?actor=bea"]:
            tab.goto(address)

            assert [] == grave(tab), address


def test_the_first_key_leads_past_the_navigation(scripted, ana):
    scripted.goto(f"{ana}history/")
    scripted.keyboard.press("Tab")
    assert "Skip to the content" == scripted.evaluate("document.activeElement.textContent")
    scripted.keyboard.press("Enter")

    assert "main" == scripted.evaluate("document.activeElement.id")


def test_what_has_the_focus_is_seen(scripted, ana):
    scripted.goto(f"{ana}history/")
    for _ in range(8):
        scripted.keyboard.press("Tab")
        style = "getComputedStyle(document.activeElement).outlineStyle"

        assert "none" != scripted.evaluate(style)


def test_a_printed_page_has_no_buttons(scripted, ana):
    scripted.goto(f"{ana}history/")
    scripted.emulate_media(media="print")

    assert not scripted.get_by_role("button").first.is_visible()
