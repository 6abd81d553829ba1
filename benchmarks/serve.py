"""The page of the demo: how soon a picture is there, how fast a slider redraws it.

    python -m benchmarks.serve runs/portraits32 --directions directions.safetensors

Starts `stylegan_jax.serve` and a headless Chromium (selenium, chromedriver), and prints
the seconds from opening the page to its first picture, and the milliseconds from moving
a slider to the picture that answers it, both as the browser sees them. Without
directions the slider is that of truncation.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

# Moves a slider, and waits until a picture on the page is another one and decoded.
_MOVE = """
const [slider, picture, value, done] = arguments;
const input = document.querySelector(slider + " input[type=range]");
const part = document.querySelector(picture);
const sources = () => [...part.querySelectorAll("img")].map((i) => i.src).join();
const before = sources(), start = performance.now();
const watcher = new MutationObserver(async () => {
  if (sources() === before) return;
  watcher.disconnect();
  await Promise.all([...part.querySelectorAll("img")].map((i) => i.decode()));
  requestAnimationFrame(() => done(performance.now() - start));
});
watcher.observe(part, {childList: true, subtree: true, attributes: true});
input.value = value;
input.dispatchEvent(new Event("input", {bubbles: true}));
"""


def first_picture(driver: Any, url: str) -> float:
    """Seconds from opening the page, nothing of it in the cache, to its picture."""
    driver.execute_cdp_cmd("Network.clearBrowserCache", {})
    start = time.perf_counter()
    driver.get(url)
    shown = "const i = document.querySelector('#sample img'); return !!i && i.complete"
    while not driver.execute_script(shown):
        time.sleep(0.005)
    return time.perf_counter() - start


def slider_moves(driver: Any, moves: int) -> list[float]:
    """Milliseconds from each move of a slider to its picture."""
    tabs = {t.text: t for t in driver.find_elements("css selector", "[role=tab]")}
    slider, picture = "#psi", "#sample"
    if "Attributes" in tabs:
        tabs["Attributes"].click()
        slider, picture = "[id^=slider-]", "#attributes"
    while not driver.find_elements("css selector", f"{picture} img"):
        time.sleep(0.05)
    time.sleep(2)
    values = [round(-0.9 + 1.8 * i / moves, 1) for i in range(moves)]
    return [
        driver.execute_async_script(_MOVE, slider, picture, value)
        for value in values[1::2] + values[::2]
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Speed of the demo in a browser.")
    parser.add_argument("network")
    parser.add_argument("--directions")
    parser.add_argument("--opens", type=int, default=5, help="of the page")
    parser.add_argument("--moves", type=int, default=20, help="of a slider, up to 20")
    args = parser.parse_args(argv)
    command = [sys.executable, "-m", "stylegan_jax.serve", args.network, "--port", "0"]
    if args.directions:
        command += ["--directions", args.directions]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        try:
            print(f"ready after {time.perf_counter() - start:.1f} s: {line.strip()}")
            _measure(line.split(" at ")[1].split()[0], args)
        finally:
            server.terminate()


def _measure(url: str, args: argparse.Namespace) -> None:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    service = Service(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_script_timeout(60)
        opened = [first_picture(driver, url) for _ in range(args.opens)]
        moved = slider_moves(driver, args.moves)
    finally:
        driver.quit()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}")
    for name, values, unit in [
        ("first picture", opened, "s"),
        ("slider to picture", moved, "ms"),
    ]:
        print(
            f"{name}: median {statistics.median(values):.3g} {unit}, "
            f"{min(values):.3g} to {max(values):.3g} ({len(values)} times)"
        )


if __name__ == "__main__":
    main()
