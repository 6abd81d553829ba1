"""Makes the pictures of docs/demo.md again: every tab of the page, in use.

    python -m benchmarks.demo_pictures [NETWORK] [--outdir docs/images]

Serves the network (by default the one that comes with the package), drives a headless
Chromium as `benchmarks.serve` does, and writes `demo_TAB.png` for each tab. The
photograph is a built-in portrait that the network was not trained on, or --photo.
"""

import argparse
import base64
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.serve import browser, served
from stylegan_jax.data.portraits.source import Portraits
from stylegan_jax.io import images
from stylegan_jax.io.atomic import atomic_write

_PATIENCE = 900  # seconds of a search
_UNSEEN = 50006  # number of a portrait
_WIDTH = 900  # of the pictures; wider ones are above 300 kB


class Page:
    """The page in a browser; `css` selects parts of it."""

    def __init__(self, driver: Any, outdir: Path) -> None:
        """Screenshots go to `outdir`."""
        self.driver, self.outdir = driver, outdir

    def find(self, css: str) -> list[Any]:
        """The elements that are there now."""
        return self.driver.find_elements("css selector", css)

    def until(self, done: Callable[[], Any], what: str) -> Any:
        """Waits until something is true; its value."""
        end = time.monotonic() + _PATIENCE
        while not (found := done()):
            if time.monotonic() > end:
                raise SystemExit(f"the page does not show {what}")
            time.sleep(0.05)
        return found

    def one(self, css: str) -> Any:
        """An element, as soon as it is there."""
        return self.until(lambda: self.find(css), css)[0]

    def tab(self, name: str) -> bool:
        """Opens a tab; whether there is one."""
        tabs = [tab for tab in self.find("[role=tab]") if tab.text == name]
        for tab in tabs:
            tab.click()
        return bool(tabs)

    def fill(self, css: str, value: float) -> None:
        """Sets a field of numbers."""
        field = self.one(f"{css} input[type=number]")
        field.clear()
        field.send_keys(f"{value}\n")

    def click(self, css: str) -> None:
        """Clicks, even where something lies above."""
        self.driver.execute_script("arguments[0].click()", self.one(css))

    def search(self, name: str, state: str) -> None:
        """Starts the search of a tab, and waits for its end."""
        self.click(f"#{name}-start")
        self.until(lambda: "done" in self.one(state).text, f"the end of the {name}")

    def shoot(self, name: str) -> None:
        """The whole page, once nothing changes any more."""
        self.driver.execute_script("document.activeElement.blur()")
        time.sleep(2)
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})
        clip = {"x": 0, "y": 0, "scale": 1} | {
            side: size["cssContentSize"][side] for side in ("width", "height")
        }
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        path = self.outdir / f"demo_{name}.png"
        atomic_write(path, base64.b64decode(shot["data"]))
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def _draw(page: Page) -> None:
    """The tabs that draw at once."""
    page.one("#others img")
    page.shoot("samples")
    if page.tab("Attributes"):
        page.fill("#attribute-seed", 2)
        page.one("#attributes img")
        for slider, value in [("smile", 3), ("pose", 1.5)]:
            if page.find(f"#slider-{slider}"):
                page.fill(f"#slider-{slider}", value)
        page.shoot("attributes")
    if page.tab("Style mixing"):
        page.one("#mixed img")
        page.click("#rows-coarse")
        page.shoot("mixing")
    page.tab("Morphing")
    page.click("#film")
    page.one("#frames img")
    page.shoot("morphing")


def _search(page: Page, photo: Path) -> None:
    """The tabs that search."""
    if page.tab("Photograph"):
        page.one("#upload input[type=file]").send_keys(str(photo.absolute()))
        page.one("#inverted img")
        page.search("invert", "#inversion-state")
        page.shoot("photograph")
    if page.tab("Painting"):
        canvas = page.one("#editor canvas")
        time.sleep(5)  # until the editor has its picture
        _stroke(page.driver, canvas)
        page.search("paint", "#paint-state")
        page.shoot("painting")


def _stroke(driver: Any, canvas: Any) -> None:
    """Over the eyes."""
    from selenium.webdriver import ActionChains

    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    chain = ActionChains(driver, duration=20)
    chain.move_to_element_with_offset(canvas, -70, -25).click_and_hold()
    for _ in range(7):
        chain.move_by_offset(20, 0)
    chain.release().perform()


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the pictures."""
    parser = argparse.ArgumentParser(description="The pictures of docs/demo.md.")
    parser.add_argument("network", nargs="?", type=Path, default=Path("portraits"))
    parser.add_argument("--outdir", type=Path, default=Path("docs/images"))
    parser.add_argument("--photo", type=Path, help="to invert")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, served(args.network) as url:
        photo = args.photo or Path(folder) / "portrait.png"
        if args.photo is None:
            images.write_png(photo, Portraits(1_000_000).image(_UNSEEN, 256))
        with browser() as driver:
            driver.set_window_size(_WIDTH, 900)
            driver.get(url)
            page = Page(driver, args.outdir)
            _draw(page)
            _search(page, photo)


if __name__ == "__main__":
    main()
