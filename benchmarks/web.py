"""The page that runs in the browser: how soon a picture, how fast a slider, how much.

    bash launch/web/make.sh site && python -m benchmarks.web site [--picture PNG]

Serves the folder on this machine, as any static host would, and opens it in a headless
Chromium. Printed are the seconds from opening it, nothing in the cache, to its first
picture; the milliseconds from moving a slider to the frame with its picture, and of
these the network's; of both the CPU time of the page's process, which counts least on a
busy machine; the bytes that were loaded, and other hosts that were asked. With
--picture the page is then shot, with a smile and the colours of the second seed.
"""

import argparse
import contextlib
import functools
import http.server
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.serve import browser, cell, slider_values
from stylegan_jax.io.atomic import atomic_write

_SHOWN = "const page = document.querySelector('#page'); return !!page && !page.hidden"
_CHANGES = """
const set = (css, value) => {
  const field = document.querySelector(css);
  field.value = value;
  field.dispatchEvent(new Event("input", {bubbles: true}));
};
set("#sliders input", 0);
set("#slider-smile", 2);
for (const layer of [6, 7]) document.querySelectorAll("#layers button")[layer].click();
"""
_MOVE = """
const [value, done] = arguments;
const find = (css) => document.querySelector(css);
const slider = find("#sliders input") ?? find("#psi");
const canvas = find("#picture");
const start = performance.now();
const watcher = new MutationObserver(() => {
  watcher.disconnect();
  requestAnimationFrame(() => done(performance.now() - start));
});
watcher.observe(canvas, {attributes: true});
slider.value = value;
slider.dispatchEvent(new Event("input", {bubbles: true}));
"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextlib.contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """Serves a folder on a free port; gives the address."""
    handler = functools.partial(_Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


def first_picture(driver: Any, url: str) -> float:
    """Seconds from opening the page, nothing of it in the cache, to its picture."""
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    start = time.perf_counter()
    driver.get(url)
    while not driver.execute_script(_SHOWN):
        if time.perf_counter() - start > 120:
            raise SystemExit(driver.find_element("id", "state").text)
        time.sleep(0.005)
    return time.perf_counter() - start


def cpu_seconds(driver: Any) -> float:
    """CPU time of the page's process so far, of all its threads."""
    found = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return next(x["value"] for x in found if x["name"] == "ProcessTime")


def requests(driver: Any) -> list[str]:
    """Addresses asked for since the last call."""
    events = [
        json.loads(e["message"])["message"] for e in driver.get_log("performance")
    ]
    kind = "Network.requestWillBeSent"
    return [e["params"]["request"]["url"] for e in events if e["method"] == kind]


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Speed of the page without a server.")
    parser.add_argument("folder", type=Path, help="that launch/web/make.sh filled")
    parser.add_argument("--opens", type=int, default=5, help="of the page")
    parser.add_argument("--moves", type=int, default=18, help="of a slider, up to 18")
    parser.add_argument("--picture", type=Path, help="a file to write, .png")
    args = parser.parse_args(argv)
    opened, opening, moved, drawn = [], [], [], []
    with (
        tempfile.TemporaryDirectory() as downloads,
        hosted(args.folder) as url,
        browser(Path(downloads)) as driver,
    ):
        driver.execute_cdp_cmd("Performance.enable", {})
        for _ in range(args.opens):
            before = cpu_seconds(driver)
            opened.append(first_picture(driver, url))
            opening.append(cpu_seconds(driver) - before)
        loaded = driver.execute_script(
            "return performance.getEntries().map((e) => e.transferSize ?? 0)"
        )
        before = cpu_seconds(driver)
        for value in slider_values(args.moves):
            moved.append(driver.execute_async_script(_MOVE, value))
            said = driver.find_element("id", "state").text
            drawn += map(float, re.findall(r"\d+\.\d", said))  # none of a known one
        moving = 1000 * (cpu_seconds(driver) - before) / len(moved)
        if args.picture:
            driver.set_window_size(900, 860)
            driver.execute_script(_CHANGES)
            time.sleep(2)
            atomic_write(args.picture, driver.get_screenshot_as_png())
        others = {address for address in requests(driver) if url not in address}
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; median (range)\n")
    print(f"first picture: {cell(opened, 's')}; CPU {cell(opening, 's')}")
    print(f"slider to picture: {cell(moved, 'ms')}; CPU {moving:.3g} ms on average")
    print(f"of which the network: {cell(drawn, 'ms')}")
    print(f"loaded: {sum(loaded):,} bytes; of other hosts: {sorted(others) or 'none'}")


if __name__ == "__main__":
    main()
