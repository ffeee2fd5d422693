"""The demo's page in a browser, in windows of a desktop's and a phone's size."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.demo.browser_page import (
    act,
    browser_page,
    choose,
    chromium,
    expect_loaded,
    option,
    picture,
    press_edit,
    scroll_into_view,
    send,
    upload,
)
from tests.support.demo.demo_process import PAGE_URL, start_demo
from tests.support.demo.simcord_stage import picture_file

EXECUTABLE = chromium()
MESSAGES = "#channel-message-list"
DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.mark.skipif(
    EXECUTABLE is None, reason="no Chromium here: install chromium or google-chrome, or run make test as root"
)
def test_the_page_paints_edits_and_refuses_on_a_desktop_and_on_a_phone(tmp_path: Path) -> None:
    with start_demo(tmp_path, "--port", "0") as demo:
        url = demo.wait_for(PAGE_URL)[0]
        with browser_page(str(EXECUTABLE), url, *DESKTOP) as page:
            expect(page.locator(MESSAGES)).to_contain_text("a lighthouse at sunset")
            expect(page.locator(MESSAGES)).to_contain_text("4:1 became 3:1.")
            imagine(page, "a violin on a beach at dawn")
            expect_loaded(picture(page, "a violin"))
            press_edit(page, "a violin", "make it snow")
            expect_loaded(picture(page, "make it snow"))

            page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            edit_own_picture(page, "let it fly")
            expect_loaded(picture(page, "let it fly"))
            scroll_into_view(page, picture(page, "let it fly"))
            messages = page.locator(MESSAGES)
            refused = "You asked for 1 picture and have 0 left."
            act(page, lambda: imagine(page, "one too many"), lambda: refused in messages.inner_text())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert demo.stop(signal.SIGINT) == 0
    assert demo.errors == []


def imagine(page: Page, prompt: str) -> None:
    """Send `/imagine` with a prompt alone."""
    choose(page, "imagine")
    send(page, lambda: option(page, "prompt").fill(prompt))


def edit_own_picture(page: Page, prompt: str) -> None:
    """Send `/edit` with an uploaded picture."""
    choose(page, "edit")

    def fill() -> None:
        upload(page, "image", "balloon.png", picture_file("a balloon"))
        option(page, "prompt").fill(prompt)

    send(page, fill)
