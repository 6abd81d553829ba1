"""Tabs that draw at once: samples, attributes, style mixing, morphing."""

from typing import Any

import gradio as gr
import numpy as np

from stylegan_jax.demo.page import (
    Page,
    Picker,
    Visit,
    at_once,
    random_seed,
    save_button,
)
from stylegan_jax.demo.shown_images import figure, row
from stylegan_jax.editing.rows import named_rows
from stylegan_jax.inversion import spaces
from stylegan_jax.inversion.code import Code

MORE = 8  # seeds at once
_SMALL = 128  # pixels of pictures that are drawn without being asked for
FRAMES = 7
_PRESETS = ("coarse", "middle", "fine")


def samples(page: Page, tab: gr.Tab) -> None:
    """Samples by seed and noise seed."""
    session = page.session

    def draw(visit: Visit, seed: int, noise: int | None) -> str:
        sample = visit.sample(seed, noise)
        name = f"seed{sample.seed}"
        return figure(session.picture(sample), f"Seed {sample.seed}", name)

    def with_noise(visit: Visit, seed: int, noise: int | None) -> tuple[Any, str]:
        return noise, draw(visit, seed, noise)

    def more(visit: Visit, seed: int, noise: int | None) -> str:
        start = visit.sample(seed).seed + 1
        figures = [draw(visit, one, noise) for one in range(start, start + MORE)]
        return row(figures, columns=4)

    def code(visit: Visit, seed: int, noise: int | None) -> tuple[Code, str]:
        return session.code(visit.sample(seed, noise)), f"seed{seed}"

    first = page.visit(None, 0, None)
    some = session.resolution <= _SMALL
    noise = gr.State(None)
    with gr.Row():
        with gr.Column(scale=2):
            picture = gr.HTML(draw(first, 0, None), elem_id="sample")
            seed = Picker("Seed", 0, with_photo=False, name="sample").seed
            with gr.Row(visible=session.has_noise):
                anew = gr.Button("Re-roll noise", size="sm", elem_id="noise-roll")
                stored = gr.Button("Its own noise", size="sm", elem_id="noise-own")
            save_button(page, code, [seed, noise], name="sample")
        with gr.Column(scale=3):
            others = gr.HTML(more(first, 0, None) if some else "", elem_id="others")
            again = gr.Button(f"Draw the next {MORE} seeds", size="sm", elem_id="more")
    inputs = [seed, noise]
    page.redraw(tab, [seed.change], draw, inputs, picture)
    shown = [noise, picture]
    page.on([anew.click], lambda v, s: with_noise(v, s, random_seed()), [seed], shown)
    page.on([stored.click], lambda v, s: with_noise(v, s, None), [seed], shown)
    page.on([again.click], more, inputs, [others])
    if some:
        page.on([page.psi.release], more, inputs, [others])


def attributes(page: Page, tab: gr.Tab) -> None:
    """A slider for each direction."""
    session = page.session

    def turned(visit: Visit, kind: str, seed: int, *amounts: float) -> tuple[Code, str]:
        return session.turned(visit.source(kind, seed), amounts), "attributes"

    def draw(visit: Visit, kind: str, seed: int, *amounts: float) -> str:
        source = visit.source(kind, seed)
        code, name = turned(visit, kind, seed, *amounts)
        before, after = session.picture(source), session.draw(code)
        shown = row([figure(before, "Before"), figure(after, "After", name)])
        return shown + (far(code) if isinstance(source, Code) else "")

    def far(code: Code) -> str:
        statistics = session.statistics
        away = float(spaces.deviation(statistics, code.ws)[0])
        if away <= statistics.farthest:
            return ""
        return (
            f'<div class="note">These latents are {away:.1f} deviations from the mean, '
            f"of samples are at most {statistics.farthest:.1f}: what is drawn may "
            "break.</div>"
        )

    sliders: list[Any] = []
    with gr.Row():
        with gr.Column(scale=3):
            shown = gr.HTML(elem_id="attributes")
        with gr.Column(scale=2):
            picker = Picker("Of", 0, with_photo=session.editable, name="attribute")
            page.kinds["Attributes"] = picker.kind
            for direction in session.sliders:
                unit = "standard deviations" if direction.std else "units"
                name = direction.name.replace("_", " ").capitalize()
                slider = gr.Slider(
                    *(-4, 4, 0),
                    step=0.1,
                    label=f"{name} ({unit})",
                    elem_id=f"slider-{direction.name}",
                )
                sliders.append(slider)
            reset = gr.Button("All to 0", size="sm", elem_id="reset")
            zeros = [0] * len(sliders) if len(sliders) > 1 else 0
            at_once(reset.click, lambda: zeros, None, sliders)
            inputs = [*picker.inputs, *sliders]
            save_button(page, turned, inputs, name="attribute")
    events = [*picker.events, *(slider.change for slider in sliders)]
    page.redraw(tab, events, draw, inputs, shown)


def mixing(page: Page, tab: gr.Tab) -> None:
    """Style mixing: rows of one code in another."""
    session = page.session

    def mix(
        visit: Visit, a: str, b: int, c: str, d: int, rows: list[int]
    ) -> tuple[Code, str]:
        return session.mix(visit.source(a, b), visit.source(c, d), rows), "mixed"

    def draw(visit: Visit, a: str, b: int, c: str, d: int, rows: list[int]) -> str:
        content, style = _pictures(page, visit, a, b, c, d)
        code, name = mix(visit, a, b, c, d, rows)
        mixed = figure(session.draw(code), "Mixed", name)
        return row([figure(content, "Content"), figure(style, "Style"), mixed])

    shown = gr.HTML(elem_id="mixed")
    with gr.Row():
        content = Picker("Content", 1, with_photo=session.editable, name="content")
        style = Picker("Style", 2, with_photo=session.editable, name="style")
    count = session.num_rows
    rows = gr.CheckboxGroup(
        [(f"{layer} · {2 ** (layer // 2 + 2)} px", layer) for layer in range(count)],
        value=list(named_rows("middle", count)),
        label="Rows taken from the style",
        elem_id="rows",
    )
    inputs = [*content.inputs, *style.inputs, rows]
    with gr.Row():
        for name in _PRESETS:
            button = gr.Button(name.capitalize(), size="sm", elem_id=f"rows-{name}")
            chosen = list(named_rows(name, count))
            at_once(button.click, lambda chosen=chosen: chosen, None, rows)
        save_button(page, mix, inputs, name="mixed")
    events = [*content.events, *style.events, rows.change]
    page.redraw(tab, events, draw, inputs, shown)


def morphing(page: Page, tab: gr.Tab) -> None:
    """Interpolation between two pictures."""
    session = page.session

    def morph(visit: Visit, *values: Any) -> tuple[Code, str]:
        a, b, c, d, t = values
        return session.morph(visit.source(a, b), visit.source(c, d), t), "morph"

    def between(visit: Visit, ends: Any, t: float, caption: str) -> str:
        code, name = morph(visit, *ends, t)
        return figure(session.draw(code), caption, f"{name}{t:.2f}")

    def draw(visit: Visit, a: str, b: int, c: str, d: int, t: float) -> str:
        first, second = _pictures(page, visit, a, b, c, d)
        middle = between(visit, (a, b, c, d), t, f"At {t:.2f}")
        return row([figure(first, "From"), middle, figure(second, "To")])

    def frames(visit: Visit, *ends: Any) -> str:
        times = np.linspace(0, 1, FRAMES)
        return row([between(visit, ends, float(t), f"{t:.2f}") for t in times])

    shown = gr.HTML(elem_id="morph")
    t = gr.Slider(
        0, 1, 0.5, step=0.01, label="From the first to the second", elem_id="t"
    )
    with gr.Row():
        start = Picker("From", 1, with_photo=session.editable, name="from")
        end = Picker("To", 2, with_photo=session.editable, name="to")
    ends = [*start.inputs, *end.inputs]
    with gr.Row():
        film = gr.Button(f"Show {FRAMES} frames", size="sm", elem_id="film")
        save_button(page, morph, [*ends, t], name="morph")
    strip = gr.HTML(elem_id="frames")
    events = [t.change, *start.events, *end.events]
    page.redraw(tab, events, draw, [*ends, t], shown)
    page.on([film.click], frames, ends, [strip])


def _pictures(
    page: Page, visit: Visit, a: str, b: int, c: str, d: int
) -> tuple[np.ndarray, np.ndarray]:
    first, second = visit.source(a, b), visit.source(c, d)
    return page.session.picture(first), page.session.picture(second)
