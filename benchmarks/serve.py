"""The page of the demo: how soon a picture is there, how fast a slider redraws it.

    python -m benchmarks.serve                # the network that comes with the package
    python -m benchmarks.serve portraits configs/portraits64.py runs/mine

A recipe stands for its network with random weights and five random directions. Each
network is served by `stylegan_jax.serve`, and a headless Chromium (selenium,
chromedriver) opens the page and moves a slider. A row of the table has the seconds from
opening the page to its first picture, the milliseconds from moving a slider to the
picture that answers it, both as the browser sees them, and the milliseconds of these
that drawing and encoding take without a page. Without directions the slider is that of
truncation.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from stylegan_jax import loading
from stylegan_jax.commands import recipe_files, serve
from stylegan_jax.demo import shown_images
from stylegan_jax.demo.session import Sample, Session
from stylegan_jax.editing.direction_files import save_directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.interop import exported
from stylegan_jax.networks.generator import init_generator

_NAMES = ("age", "eyeglasses", "gender", "pose", "smile")
_RANGE = 1.8  # of the slider's values

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
    return [
        driver.execute_async_script(_MOVE, slider, picture, value)
        for value in slider_values(moves)
    ]


def slider_values(moves: int) -> list[float]:
    """Positions of a slider, never the same one twice running."""
    values = [round(_RANGE * i / moves - _RANGE / 2, 1) for i in range(moves)]
    return values[1::2] + values[::2]


def drawing(session: Session, moves: int) -> list[float]:
    """Milliseconds of what the server computes at each move of a slider."""
    spent = []
    for value in slider_values(moves):
        start = time.perf_counter()
        if session.sliders:
            amounts = [value] + [0.0] * (len(session.sliders) - 1)
            shown_images.figure(session.picture(Sample(0)), "")
            picture = session.draw(session.turned(Sample(0), amounts))
        else:
            picture = session.picture(Sample(0, psi=value))
        shown_images.figure(picture, "")
        spent.append(1000 * (time.perf_counter() - start))
    return spent


@contextlib.contextmanager
def prepared(name: str) -> Iterator[Path]:
    """The network that a word stands for; of recipes one with random weights."""
    if not name.endswith(".py"):
        yield Path(name)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = recipe_files.load_recipe(*recipe_files.find_recipe(name)).model
        made = jax.jit(init_generator, static_argnums=1)(jax.random.key(0), model)
        path = Path(folder) / f"{Path(name).stem}.safetensors"
        exported.save(path, made)
        random = np.random.RandomState(0)
        directions = [
            Direction(name=name, vector=random.randn(model.w_dim)) for name in _NAMES
        ]
        save_directions(
            path.with_name(f"{path.stem}_directions.safetensors"), directions
        )
        yield path


class Measured(NamedTuple):
    """One network: seconds of opening, milliseconds of moves and of drawing alone."""

    pixels: int
    opened: list[float]
    moved: list[float]
    drawn: list[float]


@contextlib.contextmanager
def served(network: Path) -> Iterator[str]:
    """Serves a network on a free port; gives the address."""
    command = [sys.executable, "-m", "stylegan_jax.serve", str(network), "--port", "0"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline().strip()
        try:
            if " at " not in line:
                raise SystemExit(f"{network} is not served; see above")
            print(f"ready after {time.perf_counter() - start:.1f} s: {line}")
            yield line.split(" at ")[1].split()[0]
        finally:
            server.terminate()


@contextlib.contextmanager
def browser(downloads: Path | None = None) -> Iterator[Any]:
    """A headless Chromium, as selenium drives it; `downloads` also keeps its logs."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in ("headless=new", "no-sandbox", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.add_argument("--window-size=1200,1000")
    if downloads is not None:
        several = "profile.default_content_setting_values.automatic_downloads"
        prefs = {"download.default_directory": str(downloads), several: 1}
        options.add_experimental_option("prefs", prefs)
        logs = {"performance": "ALL", "browser": "ALL"}
        options.set_capability("goog:loggingPrefs", logs)
    service = Service(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        driver.set_script_timeout(60)
        yield driver
    finally:
        driver.quit()


def measure(network: Path, opens: int, moves: int) -> Measured:
    """Serves a network and visits it."""
    with served(network) as url, browser() as driver:
        opened = [first_picture(driver, url) for _ in range(opens)]
        moved = slider_moves(driver, moves)
    directions = serve.find_directions(serve.ServeArgs(network=str(network)))
    session = Session(loading.load(network), directions)
    return Measured(session.resolution, opened, moved, drawing(session, moves))


def cell(values: Sequence[float], unit: str) -> str:
    """Median, least and most, as a table has them."""
    least, middle, most = min(values), statistics.median(values), max(values)
    return f"{middle:.3g} {unit} ({least:.3g} to {most:.3g})"


def main(argv: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Speed of the demo in a browser.")
    parser.add_argument("networks", nargs="*", default=["portraits"])
    parser.add_argument("--opens", type=int, default=5, help="of the page")
    parser.add_argument("--moves", type=int, default=18, help="of a slider, up to 18")
    args = parser.parse_args(argv)
    rows = []
    for name in args.networks:
        with prepared(name) as network:
            found = measure(network, args.opens, args.moves)
        cells = [
            f"{name}, {found.pixels} px",
            cell(found.opened, "s"),
            cell(found.moved, "ms"),
            cell(found.drawn, "ms"),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    load = os.getloadavg()[0]
    print(f"\n{os.cpu_count()} cores, load {load:.1f}; median (least to most)\n")
    print("| network | first picture | slider to picture | of which drawing |")
    print("|---|---|---|---|")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
