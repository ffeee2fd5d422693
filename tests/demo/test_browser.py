"""Somebody opens the demo's page and types `/imagine`, at a desk and on a phone."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.support.demo.browser_page import (
    browser_page,
    choose,
    chromium,
    has_arrived,
    newest,
    option,
    picture,
    press_edit,
    send,
    upload,
)
from tests.support.demo.demo_process import ADDRESS, demo
from tests.support.demo.simcord_stage import picture_file

EXECUTABLE = chromium()
MESSAGES = "#channel-message-list"
DESK, PHONE = (1280, 900), (390, 844)


@pytest.mark.skipif(
    EXECUTABLE is None, reason="no Chromium here: install chromium or google-chrome, or run make test as root"
)
def test_the_page_paints_edits_and_refuses_at_a_desk_and_on_a_phone(tmp_path: Path) -> None:
    with demo(tmp_path, "--port", "0") as started:
        address = started.said(ADDRESS)[0]
        with browser_page(str(EXECUTABLE), address, *DESK) as page:
            expect(page.locator(MESSAGES)).to_contain_text("a lighthouse at sunset")
            expect(page.locator(MESSAGES)).to_contain_text("16:9 became 3:2.")
            imagine(page, "a violin on a beach at dawn")
            has_arrived(picture(page, "a violin"))
            press_edit(page, "a violin", "make it snow")
            has_arrived(picture(page, "make it snow"))

            page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
            edit_own_picture(page, "let it fly")
            has_arrived(picture(page, "let it fly"))
            newest(page)
            expect(picture(page, "let it fly")).to_be_in_viewport()
            imagine(page, "one too many")
            expect(page.locator(MESSAGES)).to_contain_text("You asked for 1 picture and have 0 left.")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert started.ended(by=signal.SIGINT) == 0
    assert started.complaints == []


def imagine(page: Page, prompt: str) -> None:
    """Type the command, and nothing more."""
    choose(page, "imagine")
    option(page, "prompt").fill(prompt)
    send(page)


def edit_own_picture(page: Page, prompt: str) -> None:
    """A file as a command's option."""
    choose(page, "edit")
    upload(page, "image", "balloon.png", picture_file("a balloon"))
    option(page, "prompt").fill(prompt)
    send(page)
