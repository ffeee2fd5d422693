"""A person in the demo's page: SimCord's Preview, driven by Playwright in headless Chromium."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Locator, Page, expect, sync_playwright

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 30.0
LOST = 2.0
"""Seconds after which a click that changed nothing is made once more."""


def chromium() -> str | None:
    """Where this machine keeps a Chromium, if it has one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for path in map(shutil.which, names) if path), None)


@contextmanager
def browser_page(executable: str, url: str, width: int, height: int) -> Iterator[Page]:
    """A window of this size that shows the address; fails on an error of the page's own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        page = browser.new_page(viewport={"width": width, "height": height}, reduced_motion="reduce")
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        ready(page)
        yield page
        browser.close()
        assert not errors


def ready(page: Page) -> None:
    """Wait until the page takes the next action. Its security policy forbids wait_for_function."""
    page.locator('#preview-app[aria-busy="false"]').wait_for()
    idle = "simcordPreview.ready && !simcordPreview.pendingAction && simcordPreview.awaitingRevision === null"
    _until(lambda: page.evaluate(idle), page)


def act(page: Page, do: Callable[[], Any], done: Callable[[], bool]) -> None:
    """Do something until it shows; the page drops what meets a moment in which it is being drawn anew."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ready(page)
        if done():
            return
        do()
        lost = time.monotonic() + LOST
        while time.monotonic() < lost:
            if done():
                return
            page.wait_for_timeout(50)
    raise AssertionError("the page never took it")


def _until(seen: Callable[[], Any], page: Page) -> None:
    end = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < end, "the page is not ready"
        page.wait_for_timeout(50)


def choose(page: Page, command: str) -> None:
    """Type a command up to the row with its options."""
    ready(page)
    box = page.locator("#channel-composer-input")
    box.fill(f"/{command}")
    page.locator("#command-picker-listbox .command-entry", has_text=f"/{command}").first.wait_for()
    box.press("Enter")
    page.locator(".command-row .command-chip").wait_for()


def option(page: Page, name: str) -> Locator:
    """The field of a command's option."""
    return page.locator(f'.command-option-input[data-option="{name}"]')


def upload(page: Page, field: str, name: str, content: bytes) -> None:
    """Put a file into an option of a command."""
    chooser = page.locator(f'.command-file-input[data-option="{field}"]')
    chooser.set_input_files({"name": name, "mimeType": "image/png", "buffer": content})


def send(page: Page) -> None:
    """Send the command that the composer holds; one that is not taken stays there."""
    row = page.locator(".command-row .command-chip")
    act(page, page.locator("#send-message").click, lambda: row.count() == 0)


def press_edit(page: Page, alt: str, prompt: str) -> None:
    """The button below a picture, and its form."""
    form = page.locator("#modal-root")
    field, submit = form.locator('[name="prompt"]'), form.get_by_role("button", name="Submit")
    act(page, message(page, alt).get_by_role("button", name="Edit").click, lambda: field.count() == 1)
    field.fill(prompt)
    act(page, submit.click, lambda: field.count() == 0)


def picture(page: Page, alt: str) -> Locator:
    """Pictures by what a screen reader says of them."""
    return page.locator(f'#channel-message-list img[alt*="{alt}"]')


def message(page: Page, alt: str) -> Locator:
    """The newest message that holds such a picture."""
    return page.locator("#channel-message-list > *", has=page.locator(f'img[alt*="{alt}"]')).last


def newest(page: Page) -> None:
    """Scroll down to the newest message; after a command the page often stays where it was."""
    ready(page)
    page.locator("#channel-message-list > *").last.scroll_into_view_if_needed()


def has_arrived(shown: Locator) -> None:
    """A picture is there and its pixels were decoded."""
    expect(shown).to_have_count(1, timeout=PATIENCE * 1000)
    expect(shown).to_be_visible()
    # The page may draw its messages anew at any moment, and gives its pictures new addresses then.
    _until(lambda: shown.evaluate("image => image.complete && image.naturalWidth > 0"), shown.page)
