"""The phone page as a test touches it: the desk, and one phone with its keys."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MS = 10_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window. A missing one is a failure in CI, elsewhere a skip."""
    if not CHROMIUM.exists():
        missing = f"{CHROMIUM} is missing; install it with: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


class PhonePage:
    """The whole page: the phones on the desk, the switches for faults, the biller's sales."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        expect(page.get_by_test_id("link")).to_have_attribute("data-state", "live")

    @property
    def phones(self) -> Locator:
        return self.page.get_by_test_id("phone")

    def phone(self, index: int = 0) -> "Phone":
        return Phone(self.page, self.phones.nth(index))

    def add_phone(self) -> "Phone":
        self.page.get_by_test_id("add-phone").click()
        return self.phone(self.phones.count() - 1)

    def switch(self, target: str, kind: str, on: str = "transaction") -> Locator:
        """The switch of one fault; its group is opened."""
        group = self.page.get_by_test_id(f"faults-{target}")
        if group.get_attribute("open") is None:
            group.locator("summary").click()
        return group.locator("label").filter(
            has=self.page.get_by_test_id(f"fault-{target}-{kind}-{on}")
        )

    @property
    def sales(self) -> Locator:
        return self.page.get_by_test_id("sale")


class Phone:
    """One phone: what its owner does with it, and what it shows."""

    def __init__(self, page: Page, place: Locator) -> None:
        self.page = page
        self.place = place

    def part(self, test_id: str) -> Locator:
        return self.place.get_by_test_id(test_id)

    def press(self, keys: str) -> None:
        """Press the keys of the keypad, one after the other."""
        for key in keys:
            self.part(f"key-{key}").click()

    def dial(self, code: str) -> None:
        """Write a code, press the green key, and wait until something is shown."""
        self.press(code[0])
        self.part("dial-string").fill(code)
        self.part("key-call").click()
        self._wait_for_screen()

    def reply(self, text: str) -> None:
        """Write a reply, send it, and wait until something else is shown."""
        self.part("reply").fill(text)
        self.part("soft-left").click()
        self._wait_for_screen()

    def _wait_for_screen(self) -> None:
        expect(self.part("reply")).to_have_value("")
        self.expect_view("ussd")

    def expect_view(self, name: str) -> None:
        """Wait for idle, dial, wait, ussd, inbox, message or lost."""
        expect(self.part("lcd")).to_have_attribute("data-view", name)

    def expect_screen(self, text: str) -> None:
        expect(self.part("screen")).to_have_text(text, use_inner_text=True)

    @property
    def screen(self) -> str:
        return self.part("screen").inner_text()

    @property
    def is_open(self) -> bool:
        """True while a menu waits for a reply."""
        return self.part("reply").is_visible()

    def expect_unread(self, count: int) -> None:
        if count == 0:
            expect(self.part("envelope")).to_be_hidden()
        else:
            expect(self.part("unread")).to_have_text(str(count))

    def newest_sms(self) -> str:
        """Leave whatever is shown, open the newest message, and return its text."""
        self.part("key-end").click()
        self.expect_view("idle")
        self.part("soft-left").click()
        self.expect_view("inbox")
        self.part("soft-left").click()
        self.expect_view("message")
        return self.part("message").inner_text()

    def lose_network(self) -> None:
        self.part("lose-network").click()

    def record(self) -> None:
        """Press Record, or Stop."""
        self.part("record").click()

    @property
    def transcript(self) -> str:
        return self.part("transcript").input_value()

    def choose(self, msisdn: str) -> None:
        """Put the SIM of a person of the list into this phone."""
        self.part("number").select_option(msisdn)

    def enter_number(self, written: str) -> None:
        self.part("number").select_option("other")
        self.part("other-number").fill(written)
        self.part("other-number").press("Enter")
