"""Drives the demo's page, SimCord's Preview, with Playwright in headless Chromium."""

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
TIMEOUT = 30.0
expect.set_options(timeout=15_000)
RETRY_SECONDS = 2.0
"""A click that changed nothing for so long is made again."""


def chromium() -> str | None:
    """The path of a Chromium, if this machine has one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for path in map(shutil.which, names) if path), None)


@contextmanager
def browser_page(executable: str, url: str, width: int, height: int) -> Iterator[Page]:
    """Open a URL in a window of this size; fails on a JavaScript error of the page."""
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
    """Wait until the page can take an action. Its security policy forbids `wait_for_function`."""
    page.locator('#preview-app[aria-busy="false"]').wait_for()
    idle = "simcordPreview.ready && !simcordPreview.pendingAction && simcordPreview.awaitingRevision === null"
    _until(lambda: page.evaluate(idle), page)


def act(page: Page, action: Callable[[], Any], done: Callable[[], bool]) -> None:
    """Repeat an action until it is done: the page drops actions while it renders."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        ready(page)
        if done():
            return
        action()
        retry_at = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < retry_at:
            if done():
                return
            page.wait_for_timeout(50)
    raise AssertionError("the page did not take the action")


def _until(condition: Callable[[], Any], page: Page) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "the page is not ready"
        page.wait_for_timeout(50)


def choose(page: Page, command: str) -> None:
    """Choose a command, up to the row with its options."""
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
    """Put a file into an option of the chosen command."""
    chooser = page.locator(f'.command-file-input[data-option="{field}"]')
    chooser.set_input_files({"name": name, "mimeType": "image/png", "buffer": content})


def send(page: Page, fill: Callable[[], Any]) -> None:
    """Fill in the chosen command's options and send it; the page may empty them while it renders anew."""
    row, button = page.locator(".command-row .command-chip"), page.locator("#send-message")

    def fill_and_send() -> None:
        fill()
        if button.is_enabled():
            button.click()

    act(page, fill_and_send, lambda: row.count() == 0)


def press_edit(page: Page, alt: str, prompt: str) -> None:
    """Press Edit below a picture and submit the form."""
    form = page.locator("#modal-root")
    field, submit = form.locator('[name="prompt"]'), form.get_by_role("button", name="Submit")
    act(page, message(page, alt).get_by_role("button", name="Edit").click, lambda: field.count() == 1)
    field.fill(prompt)
    act(page, submit.click, lambda: field.count() == 0)


def picture(page: Page, alt: str) -> Locator:
    """The pictures whose alt text contains `alt`."""
    return page.locator(f'#channel-message-list img[alt*="{alt}"]')


def message(page: Page, alt: str) -> Locator:
    """The newest message that has such a picture."""
    return page.locator("#channel-message-list > *", has=page.locator(f'img[alt*="{alt}"]')).last


def scroll_into_view(page: Page, image: Locator) -> None:
    """Scroll to a picture, which the page does not always do itself, and which it undoes as it renders anew."""
    visible = (
        "image => { const box = image.getBoundingClientRect(); return box.top < innerHeight && box.bottom > 0 }"
    )
    act(page, image.scroll_into_view_if_needed, lambda: image.evaluate(visible))


def expect_loaded(image: Locator) -> None:
    """Wait until there is one picture and its pixels are decoded."""
    expect(image).to_have_count(1, timeout=TIMEOUT * 1000)
    expect(image).to_be_visible()
    # The page may render its messages again at any moment, with new URLs for the pictures.
    _until(lambda: image.evaluate("image => image.complete && image.naturalWidth > 0"), image.page)
