"""The page in a real browser: every tab is used, and nothing leaves this machine.

Needs gradio, selenium, chromium and chromedriver. Pictures are taken from the page and
compared with what the network draws when it is asked directly.
"""

import base64
import contextlib
import importlib.util
import json
import shutil

import numpy as np
import pytest

from benchmarks.demo_pictures import Page
from benchmarks.serve import browser
from stylegan_jax.demo.session import Sample
from stylegan_jax.editing.rows import named_rows
from stylegan_jax.inversion import code as codes
from stylegan_jax.io import images

pytestmark = pytest.mark.skipif(
    not (shutil.which("chromium") and shutil.which("chromedriver"))
    or importlib.util.find_spec("gradio") is None
    or importlib.util.find_spec("selenium") is None,
    reason="gradio, selenium, chromium or chromedriver is not here",
)


class Visitor(Page):
    """A browser with the page open."""

    def texts(self, css):
        """At one instant: elements may be gone when they are asked one by one."""
        return self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)",
            css,
        )

    def text(self, css):
        return " ".join(self.texts(css))

    def tab(self, name):
        self.until(lambda: super(Visitor, self).tab(name), name)

    def choose(self, css, label):
        """Clicks the option of a group that is called so."""
        options = [e for e in self.find(f"{css} label") if e.text.startswith(label)]
        options[0].click()

    def sources(self, css):
        return self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map((i) => i.src)",
            f"{css} img",
        )

    def pictures(self, css):
        """The pixels in a part of the page, as they were sent."""
        sources = self.sources(css)
        head = "data:image/png;base64,"
        assert all(source.startswith(head) for source in sources)
        return [images.read_image(base64.b64decode(s[len(head) :])) for s in sources]

    def shows(self, css, place, picture):
        """Waits until a picture is there."""

        def there():
            with contextlib.suppress(Exception):  # it may change under our hands
                found = self.pictures(css)[place].astype(int)
                return found.shape == picture.shape and (
                    np.abs(found - picture).max() <= 1
                )
            return False

        self.until(there, f"{css} shows the picture")

    def message(self, text):
        """Waits for a message, and sends it away."""
        self.until(lambda: any(text in t for t in self.texts(".toast-body")), text)
        self.quiet()

    def quiet(self):
        """Sends all messages away."""
        for button in self.find(".toast-close"):
            with contextlib.suppress(Exception):
                button.click()

    def saved(self, name):
        path = self.outdir / name
        self.until(lambda: path.exists() and path.stat().st_size, name)
        return path


@pytest.fixture(scope="module")
def opened(server, tmp_path_factory):
    downloads = tmp_path_factory.mktemp("downloads")
    with browser(downloads) as driver:
        driver.get(server.url)
        yield Visitor(driver, downloads)


@pytest.fixture
def visitor(opened, server, tmp_path):
    """The browser; afterwards, where it has been and what it complained of."""
    opened.quiet()
    yield opened
    opened.driver.save_screenshot(str(tmp_path / "page.png"))
    assert "SEVERE" not in [e["level"] for e in opened.driver.get_log("browser")]
    asked = []
    for entry in opened.driver.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            asked.append(event["params"]["request"]["url"])
        if event["method"] == "Network.webSocketCreated":
            asked.append(event["params"]["url"])
    own = (server.url, f"blob:{server.url}", "data:")
    assert asked
    assert [address for address in asked if not address.startswith(own)] == []
    # Events that set each other off would go on for ever.
    assert sum("queue/join" in address for address in asked) < 60


def test_samples(visitor, session, generator):
    def drawn(seed, psi=0.7):
        return session.draw(session.code(Sample(seed, psi)))

    visitor.shows("#sample", 0, drawn(0))
    visitor.shows("#others", 7, drawn(8))
    visitor.fill("#sample-seed", 12)
    visitor.shows("#sample", 0, drawn(12))
    visitor.click("#noise-roll")
    visitor.until(
        lambda: (visitor.pictures("#sample")[0] != drawn(12)).any(), "other noise"
    )
    visitor.click("#noise-own")
    visitor.shows("#sample", 0, drawn(12))
    visitor.fill("#psi", 0)
    visitor.shows("#sample", 0, drawn(12, psi=0.0))
    visitor.fill("#psi", 0.7)
    visitor.shows("#sample", 0, drawn(12))
    visitor.click("#more")
    visitor.shows("#others", 0, drawn(13))
    assert len(visitor.pictures("#others")) == 8
    visitor.click("#sample a")
    saved = images.read_image(visitor.saved("seed12.png"))
    assert np.abs(saved.astype(int) - drawn(12)).max() <= 1
    visitor.click("#sample-save")
    stored = codes.load(visitor.saved("seed12.safetensors"), generator)
    expected = session.code(Sample(12))
    np.testing.assert_allclose(stored.code.ws, expected.ws, rtol=1e-5, atol=1e-6)
    visitor.click("#sample-random")
    visitor.until(
        lambda: visitor.one("#sample-seed input").get_attribute("value") != "12", "seed"
    )
    # At once: of what is typed while an error is drawn, gradio forgets the last.
    visitor.driver.execute_script(
        "arguments[0].value = '-1';"
        "arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
        visitor.one("#sample-seed input"),
    )
    visitor.message("not from 0")


def test_attributes(visitor, session):
    visitor.tab("Attributes")
    names = [slider.name for slider in session.sliders]
    amounts = dict.fromkeys(names, 0.0) | {"age": 2.0, "pose": -1.5}
    visitor.fill("#attribute-seed", 4)
    for name in ("age", "pose"):
        visitor.fill(f"#slider-{name}", amounts[name])
    source = Sample(4)
    turned = session.turned(source, list(amounts.values()))
    visitor.shows("#attributes", 0, session.draw(session.code(source)))
    visitor.shows("#attributes", 1, session.draw(turned))
    visitor.click("#reset")
    visitor.shows("#attributes", 1, session.draw(session.code(source)))


def test_style_mixing(visitor, session):
    visitor.tab("Style mixing")
    visitor.fill("#content-seed", 5)
    visitor.fill("#style-seed", 6)
    visitor.click("#rows-coarse")
    rows = named_rows("coarse", session.num_rows)
    mixed = session.mix(Sample(5), Sample(6), rows)
    visitor.shows("#mixed", 2, session.draw(mixed))


def test_morphing(visitor, session):
    visitor.tab("Morphing")
    visitor.fill("#from-seed", 5)
    visitor.fill("#to-seed", 6)
    visitor.fill("#t", 0.25)
    between = session.draw(session.morph(Sample(5), Sample(6), 0.25))
    visitor.shows("#morph", 1, between)
    visitor.click("#film")
    visitor.shows("#frames", 6, session.draw(session.code(Sample(6))))
    assert len(visitor.pictures("#frames")) == 7


def test_photographs(visitor, session, tmp_path):
    visitor.tab("Photograph")
    visitor.click("#invert-start")
    visitor.message("upload a photograph first".capitalize())
    (tmp_path / "text.png").write_text("text")
    photo = session.draw(session.code(Sample(3, psi=1.0)))
    images.write_png(tmp_path / "me.png", photo)
    visitor.one("#upload input[type=file]").send_keys(str(tmp_path / "text.png"))
    visitor.message("cannot be read as a picture")
    visitor.click("#upload button[aria-label='Clear']")
    visitor.one("#upload input[type=file]").send_keys(str(tmp_path / "me.png"))
    visitor.shows("#inverted", 0, photo)
    visitor.driver.execute_script(
        """
        window.told = [];
        const state = document.querySelector("#inversion-state");
        new MutationObserver(() => window.told.push(state.textContent)).observe(
            state, {childList: true, subtree: true, characterData: true});
        """
    )
    visitor.choose("#invert-effort", "Quick")
    visitor.click("#invert-start")
    visitor.until(lambda: "done" in visitor.text("#inversion-state"), "done")
    told = " ".join(visitor.driver.execute_script("return window.told"))
    assert all(f"{i} of 300" in told for i in (50, 150, 250, 300))
    found = visitor.pictures("#inverted")[1]
    assert "of the latents alone" in told
    for _ in range(2):  # from the seed, and from the photograph
        visitor.tab("Photograph")
        visitor.click("#photo-edit")
        visitor.until(lambda: visitor.one("#attributes").is_displayed(), "sliders")
        visitor.shows("#attributes", 0, found)
    visitor.choose("#attribute-kind", "Seed")


def test_a_search_is_stopped(visitor, session, tmp_path):
    visitor.driver.refresh()  # it has its own photograph, whatever ran before
    visitor.tab("Photograph")
    photo = session.draw(session.code(Sample(3, psi=1.0)))
    images.write_png(tmp_path / "me.png", photo)
    visitor.one("#upload input[type=file]").send_keys(str(tmp_path / "me.png"))
    visitor.shows("#inverted", 0, photo)
    visitor.choose("#invert-effort", "Long")

    def stopped():
        """Presses Stop with the first picture; unless all iterations are faster."""
        visitor.click("#invert-start")
        visitor.until(lambda: "of 3000" in visitor.text("#inversion-state"), "begun")
        visitor.click("#invert-stop")
        ends = ("done", "stopped")
        visitor.until(
            lambda: any(end in visitor.text("#inversion-state") for end in ends), "ends"
        )
        return "stopped" in visitor.text("#inversion-state")

    visitor.until(stopped, "stopped")


def middle(canvas):
    """Pixels in the middle of a canvas, as they are on the screen."""
    shown = images.read_image(canvas.screenshot_as_png).astype(int)
    height, width = (side // 2 for side in shown.shape[:2])
    return shown[height - 90 : height + 90, width - 90 : width + 90]


def stroke(visitor):
    """Draws a line across the middle of the editor; whether it is to be seen there."""
    from selenium.webdriver import ActionChains

    canvas = visitor.one("#editor canvas")
    visitor.driver.execute_script(
        "arguments[0].scrollIntoView({block: 'center'})", canvas
    )
    visitor.until(lambda: np.ptp(middle(canvas)) > 3, "the editor's picture")
    chain = ActionChains(visitor.driver, duration=20)
    chain.move_to_element_with_offset(canvas, -80, 0).click_and_hold()
    for _ in range(8):
        chain.move_by_offset(20, 2)
    chain.release().perform()
    dark = (middle(canvas).max(-1) < 60).sum()
    return dark > 1000


def test_painting(visitor, session):
    visitor.tab("Painting")
    visitor.choose("#paint-effort", "Quick")
    picture = session.draw(session.code(Sample(3)))
    visitor.click("#paint-start")
    visitor.message("Nothing is marked")
    visitor.until(lambda: stroke(visitor), "a stroke")
    visitor.click("#paint-start")
    visitor.until(lambda: visitor.find("#painted img"), "begun")
    visitor.until(lambda: "done" in visitor.text("#paint-state"), "done")
    given = visitor.pictures("#painted")[0].astype(int)
    covered = np.abs(given - picture).max(-1) > 1
    assert 1 <= covered.sum() <= 24  # the stroke, not all
    assert covered[3:5].any() and not covered[:2].any() and not covered[6:].any()
    visitor.click("#paint-keep")
    visitor.message("the photograph of all tabs")
    visitor.choose("#paint-mode", "Scribble")
    before = visitor.sources("#painted")
    visitor.click("#paint-start")
    # Not "until it is no more done": a quick search may end between two looks.
    visitor.until(lambda: visitor.sources("#painted") not in (before, []), "begun")
    visitor.until(lambda: "done" in visitor.text("#paint-state"), "done")
    visitor.until(lambda: len(visitor.sources("#painted")) == 2, "both pictures")
    assert visitor.pictures("#painted")[1].shape == (8, 8, 3)
