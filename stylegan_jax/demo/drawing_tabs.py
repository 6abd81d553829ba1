"""Tabs that draw at once: samples, attributes, style mixing, morphing."""

from typing import Any

import gradio as gr

from stylegan_jax.demo import shown_images
from stylegan_jax.demo.page import Page, Picker, Visit, random_seed, save_button
from stylegan_jax.editing.rows import named_rows
from stylegan_jax.inversion.code import Code

MORE = 8  # seeds at once
_SMALL = 128  # pixels of pictures that are drawn without being asked for
FRAMES = 7
_PRESETS = ("coarse", "middle", "fine")


def samples(page: Page, tab: gr.Tab) -> None:
    """Seeds, and their noise."""
    session = page.session

    def draw(visit: Visit, seed: int, noise: int | None) -> str:
        sample = visit.sample(seed, noise)
        picture = session.picture(sample)
        return shown_images.figure(picture, f"Seed {sample.seed}", f"seed{sample.seed}")

    def new_noise(visit: Visit, seed: int) -> tuple[int, str]:
        noise = random_seed()
        return noise, draw(visit, seed, noise)

    def more(visit: Visit, seed: int, noise: int | None) -> str:
        start = visit.sample(seed).seed + 1
        figures = [draw(visit, one, noise) for one in range(start, start + MORE)]
        return shown_images.row(figures, columns=4)

    def code(visit: Visit, seed: int, noise: int | None) -> tuple[Code, str]:
        sample = visit.sample(seed, noise)
        return session.code(sample), f"seed{sample.seed}"

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
    page.redraw(tab, "samples", [seed.change], draw, inputs, picture)
    page.on([anew.click], new_noise, [seed], [noise, picture])
    page.on(
        [stored.click],
        lambda visit, seed: (None, draw(visit, seed, None)),
        [seed],
        [noise, picture],
    )
    page.on([again.click], more, inputs, [others])
    if some:
        page.on([page.psi.release], more, inputs, [others])


def attributes(page: Page, tab: gr.Tab) -> None:
    """One slider for each direction."""
    session = page.session

    def draw(visit: Visit, kind: str, seed: int, *amounts: float) -> str:
        source = visit.source(kind, seed)
        before = session.picture(source)
        after = session.draw(session.turned(source, amounts))
        return shown_images.row(
            [
                shown_images.figure(before, "Before"),
                shown_images.figure(after, "After", "attributes"),
            ]
        )

    def code(visit: Visit, kind: str, seed: int, *amounts: float) -> tuple[Code, str]:
        return session.turned(visit.source(kind, seed), amounts), "attributes"

    sliders: list[Any] = []
    with gr.Row():
        with gr.Column(scale=3):
            shown = gr.HTML(elem_id="attributes")
        with gr.Column(scale=2):
            picker = Picker("Of", 0, with_photo=session.editable, name="attribute")
            for direction in session.sliders:
                unit = "standard deviations" if direction.std else "units"
                label = f"{direction.name.replace('_', ' ').capitalize()} ({unit})"
                sliders.append(
                    gr.Slider(
                        -3,
                        3,
                        0,
                        step=0.1,
                        label=label,
                        elem_id=f"slider-{direction.name}",
                    )
                )
            reset = gr.Button("All to 0", size="sm", elem_id="reset")
            reset.click(
                lambda: [0] * len(sliders) if len(sliders) > 1 else 0,
                None,
                sliders,
                queue=False,
                api_visibility="private",
            )
            inputs = [*picker.inputs, *sliders]
            save_button(page, code, inputs, name="attribute")
    events = [*picker.events, *(slider.change for slider in sliders)]
    page.redraw(tab, "attributes", events, draw, inputs, shown)


def mixing(page: Page, tab: gr.Tab) -> None:
    """Rows of one code in another."""
    session = page.session
    labels = [
        (f"{row} · {2 ** (row // 2 + 2)} px", row) for row in range(session.num_rows)
    ]

    def mix(visit: Visit, a: str, b: int, c: str, d: int, rows: list[int]) -> Code:
        return session.mix(visit.source(a, b), visit.source(c, d), rows)

    def draw(visit: Visit, a: str, b: int, c: str, d: int, rows: list[int]) -> str:
        content, style = visit.source(a, b), visit.source(c, d)
        return shown_images.row(
            [
                shown_images.figure(session.picture(content), "Content"),
                shown_images.figure(session.picture(style), "Style"),
                shown_images.figure(
                    session.draw(mix(visit, a, b, c, d, rows)), "Mixed", "mixed"
                ),
            ]
        )

    shown = gr.HTML(elem_id="mixed")
    with gr.Row():
        content = Picker("Content", 1, with_photo=session.editable, name="content")
        style = Picker("Style", 2, with_photo=session.editable, name="style")
    rows = gr.CheckboxGroup(
        labels,
        value=list(named_rows("middle", session.num_rows)),
        label="Rows taken from the style",
        elem_id="rows",
    )
    inputs = [*content.inputs, *style.inputs, rows]
    with gr.Row():
        for name in _PRESETS:
            chosen = list(named_rows(name, session.num_rows))
            gr.Button(name.capitalize(), size="sm", elem_id=f"rows-{name}").click(
                lambda chosen=chosen: chosen,
                None,
                rows,
                queue=False,
                api_visibility="private",
            )
        save_button(page, lambda *values: (mix(*values), "mixed"), inputs, name="mixed")
    events = [*content.events, *style.events, rows.change]
    page.redraw(tab, "mixing", events, draw, inputs, shown)


def morphing(page: Page, tab: gr.Tab) -> None:
    """From one picture to another."""
    session = page.session

    def draw(visit: Visit, a: str, b: int, c: str, d: int, t: float) -> str:
        first, second = visit.source(a, b), visit.source(c, d)
        between = session.morph(first, second, t)
        return shown_images.row(
            [
                shown_images.figure(session.picture(first), "From"),
                shown_images.figure(
                    session.draw(between), f"At {t:.2f}", f"morph{t:.2f}"
                ),
                shown_images.figure(session.picture(second), "To"),
            ]
        )

    def frames(visit: Visit, a: str, b: int, c: str, d: int) -> str:
        first, second = visit.source(a, b), visit.source(c, d)
        figures = []
        for i in range(FRAMES):
            t = i / (FRAMES - 1)
            picture = session.draw(session.morph(first, second, t))
            figures.append(shown_images.figure(picture, f"{t:.2f}", f"morph{t:.2f}"))
        return shown_images.row(figures)

    def code(visit: Visit, a: str, b: int, c: str, d: int, t: float):
        return session.morph(visit.source(a, b), visit.source(c, d), t), "morph"

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
        save_button(page, code, [*ends, t], name="morph")
    strip = gr.HTML(elem_id="frames")
    events = [t.change, *start.events, *end.events]
    page.redraw(tab, "morphing", events, draw, [*ends, t], shown)
    page.on([film.click], frames, ends, [strip])
