"""The page without a server, in a real browser: it draws what `sample` and edits draw.

Needs onnx, onnxruntime, selenium, chromium, chromedriver, and onnxruntime-web, which
`launch/web/make.sh` fetches once.
"""

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stylegan_jax
from benchmarks import web
from benchmarks.demo_pictures import Page
from benchmarks.serve import browser
from stylegan_jax.demo.session import Sample
from stylegan_jax.editing.direction_files import directions_of, save_directions
from stylegan_jax.editing.directions import Direction
from stylegan_jax.interop import onnx_sampler
from stylegan_jax.io import images
from stylegan_jax.ops.latents import latents_of_seed
from tests import tiny
from tests.demo.conftest import DIRECTIONS

ROOT = Path(__file__).parents[2]
NEEDED = ("onnx", "onnxruntime", "selenium")

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver"))
    or not all(map(importlib.util.find_spec, NEEDED)),
    reason="onnx, onnxruntime, selenium, chromium or chromedriver is not here",
)


def make(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "launch" / "web" / "make.sh"), *map(str, words)],
        env=os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(network, tmp_path_factory):
    """The page of the small network, as the script puts it together."""
    folder = tmp_path_factory.mktemp("web") / "site"
    done = make(folder, network)
    if done.returncode == 69:
        pytest.skip(f"onnxruntime-web cannot be fetched: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "5 directions of" in done.stdout
    return folder


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads):
    with browser(downloads) as driver:
        yield driver


class Visitor(Page):
    """The browser with a page open."""

    def set(self, css, value):
        self.driver.execute_script(
            "const field = document.querySelector(arguments[0]);"
            "field.value = arguments[1];"
            "field.dispatchEvent(new Event('input', {bubbles: true}))",
            css,
            str(value),
        )

    def press(self, *layers):
        buttons = self.find("#layers button")
        for layer in layers:
            buttons[layer].click()

    def pixels(self, name):
        """What a canvas holds, `[H, W, 3]`."""
        rows = self.driver.execute_script(
            "const canvas = document.getElementById(arguments[0]);"
            "const {width, height} = canvas;"
            "const all = canvas.getContext('2d').getImageData(0, 0, width, height);"
            "return [height, width, [...all.data]]",
            name,
        )
        return np.array(rows[2]).reshape(*rows[:2], 4)[..., :3]

    def shows(self, name, picture):
        def there():
            found = self.pixels(name)
            return found.shape[:2] == picture.shape[:2] and (
                np.abs(found - picture).max() <= 1
            )

        self.until(there, f"{name} as it was drawn")


@contextlib.contextmanager
def opened(driver, folder, tmp_path):
    """Opens the page; afterwards, where it has been and what it complained of."""
    driver.get_log("browser"), driver.get_log("performance")
    with web.hosted(folder) as url:
        web.first_picture(driver, url)
        yield Visitor(driver, tmp_path)
        assert "SEVERE" not in [e["level"] for e in driver.get_log("browser")]
        asked = web.requests(driver)
        assert any(address.endswith(".wasm") for address in asked)
        own = (url, f"blob:{url}", "data:")
        assert [address for address in asked if not address.startswith(own)] == []
        driver.get("about:blank")


def test_seeds_truncation_mixing_and_sliders(
    site, driver, downloads, session, tmp_path
):
    def drawn(seed, psi=0.7):
        return session.draw(session.code(Sample(seed, psi)))

    with opened(driver, site, tmp_path) as page:
        page.shows("picture", drawn(0))
        page.shows("second", drawn(1))
        page.set("#seed", 12)
        page.shows("picture", drawn(12))
        page.set("#psi", 0)
        page.shows("picture", drawn(12, 0.0))
        page.set("#psi", 0.7)
        # Layers of another seed.
        page.set("#seed2", 5)
        page.press(2, 3)
        mixed = session.draw(session.mix(Sample(12), Sample(5), (2, 3)))
        page.shows("picture", mixed)
        page.shows("first", drawn(12))
        page.shows("second", drawn(5))
        page.press(2, 3)
        # Of some layers, in z, with and without a deviation.
        amounts = {"age": 2.0, "eyeglasses": -1.0, "gender": 1.5, "pose": -1.5}
        for name, amount in amounts.items():
            page.set(f"#slider-{name}", amount)
        turned = session.turned(Sample(12), [*amounts.values(), 0.0])
        page.shows("picture", session.draw(turned))
        page.shows("first", drawn(12))
        page.click("#reset")
        page.shows("picture", drawn(12))
        page.set("#noise", 0)
        code = session.code(Sample(12))
        silent = code.replace(noise=tuple(0 * x for x in code.noise))
        page.shows("picture", session.draw(silent))
        page.set("#noise", 1)
        page.shows("picture", drawn(12))
        page.click("#save")
        saved = downloads / "seed12.png"
        page.until(lambda: saved.exists() and saved.stat().st_size, "the file")
        np.testing.assert_array_equal(images.read_image(saved), page.pixels("picture"))
        # A mistake is told, and mended.
        page.set("#seed", -1)
        page.until(lambda: "whole number" in page.one("#state").text, "the mistake")
        page.set("#seed", 12)  # which is still shown
        page.until(lambda: not page.one("#state").text, "no mistake")
        page.set("#seed", 3)
        page.until(lambda: "Drawn in" in page.one("#state").text, "the time")
        page.click("[data-seed=seed]")
        seed = page.driver.execute_script(
            "return document.getElementById('seed').value"
        )
        assert seed != "3"
        page.shows("picture", drawn(int(seed)))


def test_small_screens_need_no_scrolling_sideways(site, driver, tmp_path):
    size = {"width": 420, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    with opened(driver, site, tmp_path):
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wide = "return [...document.querySelectorAll('main *')].filter("
        wide += "(e) => e.getBoundingClientRect().right > 420).map((e) => e.id)"
        assert driver.execute_script(wide) == []
        driver.execute_script("scrollTo(0, 9999)")
        top = "return document.getElementById('picture').getBoundingClientRect().top"
        assert driver.execute_script(top) >= 0  # it stays in sight
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_the_included_network_draws_the_pictures_of_sample(
    site, driver, tmp_path, monkeypatch
):
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    generator = stylegan_jax.load("portraits")
    sliders = directions_of("portraits")
    onnx_sampler.save(folder / "net.onnx", generator)
    save_directions(folder / "directions.safetensors", list(sliders.values()))
    expected = stylegan_jax.sample(generator, [0, 1, 4294967295])
    with opened(driver, folder, tmp_path) as page:
        names = [x.get_attribute("id") for x in page.find("#sliders input")]
        assert names == [f"slider-{name}" for name in sliders]
        page.shows("first", expected[0])
        page.shows("second", expected[1])
        page.set("#seed", 4294967295)
        page.shows("picture", expected[2])


def test_classes_and_grey(site, driver, tmp_path):
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    generator = stylegan_jax.load(
        ROOT / "tests/data/official/stylegan_res16_labels5_gray.pkl"
    )
    onnx_sampler.save(folder / "net.onnx", generator)
    (folder / "directions.safetensors").write_bytes(b"")
    (expected,) = stylegan_jax.sample(generator, [0], class_index=3)
    with opened(driver, folder, tmp_path) as page:
        assert len(page.find("#class option")) == 5
        assert not page.one("#attributes").is_displayed()
        page.set("#class", 3)
        page.shows("picture", expected)


def test_the_alpha_of_grey_pictures_is_not_shown(site, driver, tmp_path):
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    model = dataclasses.replace(tiny.MODEL_8, num_channels=2)
    onnx_sampler.save(folder / "net.onnx", tiny.generator(model))
    (folder / "directions.safetensors").write_bytes(b"")
    (expected,) = stylegan_jax.sample(tiny.generator(model), [0])
    with opened(driver, folder, tmp_path) as page:
        page.shows("picture", expected[..., [0, 0, 0]])


def test_directions_of_another_network_are_one_line(network, tmp_path):
    other = Direction(name="other", vector=np.ones(7))
    save_directions(tmp_path / "other.safetensors", [other])
    done = make(tmp_path / "site", network, tmp_path / "other.safetensors")
    if done.returncode == 69:
        pytest.skip(f"onnxruntime-web cannot be fetched: {done.stderr}")
    assert done.returncode == 2 and not (tmp_path / "site").exists()
    assert "error: " in done.stderr and "Traceback" not in done.stderr


def test_latents_and_directions_are_read_as_in_python(site, driver, tmp_path):
    deep = Direction(name="deep", vector=np.random.RandomState(7).randn(4, 6), std=0.5)
    every = [*DIRECTIONS, deep]
    save_directions(site / "deep.safetensors", every)
    call = "const done = arguments[arguments.length - 1];"
    call += "import('/latents.js').then(async (m) => done("
    with opened(driver, site, tmp_path) as page:
        run = page.driver.execute_async_script
        for seed, count in [(0, 513), (1, 512), (1234567, 3), (2**32 - 1, 128)]:
            found = run(f"{call} [...m.latents({seed}, {count})]))")
            np.testing.assert_allclose(
                found, latents_of_seed(seed, count)[0], rtol=2e-7
            )
        found = run(
            f"{call} m.readDirections(await (await fetch('deep.safetensors'))"
            ".arrayBuffer()).map((d) => [d.name, d.space, d.step, "
            "[0, 1, 2, 3].map((i) => d.rows(i) && [...d.rows(i)])])))"
        )
    (site / "deep.safetensors").unlink()
    assert [x[:3] for x in found] == [[d.name, d.space, d.std or 1] for d in every]
    for (*_, rows), direction in zip(found, every, strict=True):
        if direction.space == "w":
            expected = direction.rows(4)
        else:
            expected = np.tile(direction.vector, (4, 1))
        rows = [row or [0.0] * 6 for row in rows]
        np.testing.assert_array_equal(rows, expected)


def test_a_page_without_its_network_says_so(site, driver, tmp_path):
    folder = tmp_path / "site"
    shutil.copytree(site, folder, ignore=shutil.ignore_patterns("net.onnx"))
    with web.hosted(folder) as url:
        driver.get(url)
        page = Visitor(driver, tmp_path)
        page.until(lambda: "net.onnx: 404" in page.one("#state").text, "the mistake")
        driver.get("about:blank")


def test_what_exists_is_kept(tmp_path):
    (tmp_path / "mine").write_text("mine")
    for folder in (tmp_path, tmp_path / "mine"):
        done = make(folder)
        assert done.returncode == 2 and "exists; give a new name" in done.stderr
    assert (tmp_path / "mine").read_text() == "mine"
