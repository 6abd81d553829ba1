"""Tabs that search: inversion of a photograph, inpainting, scribbles."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
import numpy as np

from stylegan_jax.demo import photo_sources, searches
from stylegan_jax.demo.canvas import canvas
from stylegan_jax.demo.page import (
    PHOTO,
    Page,
    Picker,
    Visit,
    at_once,
    listen,
    save_button,
)
from stylegan_jax.demo.searches import EFFORTS, Progress
from stylegan_jax.demo.shown_images import bar, figure, row
from stylegan_jax.demo.visitors import SEARCH
from stylegan_jax.editing import masks
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code

_COMPARED = {
    "vgg16": "Pixels and features of VGG16 are compared.",
    "included": "Pixels and features of a small included network are compared.",
    "none": "Only pixels are compared.",
}
INPAINT, SCRIBBLE = "Fill in", "Scribble"
_PARTS = ("eyes", "brows", "nose", "mouth", "face", "hair")
_WAITING = bar(0, 1, "Compiling; the first search takes longest")
# In the browser first: the server's answer might come after the final state.
_STOPPING = """
() => {
  const note = document.querySelector("#%s .note");
  if (note && !/done|stop/.test(note.textContent)) note.textContent += " · stopping";
  return [];
}
"""


def photograph(page: Page, tab: gr.Tab) -> None:
    """Upload and inversion."""
    session = page.session

    def shown_as(
        target: np.ndarray | None,
        made: np.ndarray | None = None,
        alone: np.ndarray | None = None,
    ) -> str:
        caption = "Photograph" + ("" if target is None else ", as the network sees it")
        left = figure(target, caption, empty="Your photograph")
        figures = [
            left,
            figure(made, "Network", "inverted", "What the network makes of it"),
        ]
        if alone is not None:
            figures.append(figure(alone, "Its latents alone, which edits move"))
        return row(figures)

    def read(data: bytes | None, find_face: bool) -> tuple[np.ndarray | None, str]:
        if data is None:
            return None, shown_as(None)
        channels = session.generator.config.num_channels
        picture = photo_sources.read_photo(
            data, session.resolution, channels, find_face=find_face, frame=page.frame
        )
        return picture, shown_as(picture)

    def invert(
        target: np.ndarray | None, effort: str, request: gr.Request
    ) -> Iterator[tuple[Any, str, str]]:
        if target is None:
            raise UserError("upload a photograph first")
        stop = page.visitors.begin(request.session_hash)
        yield gr.skip(), shown_as(target), _WAITING
        for told in searches.invert(session, target, EFFORTS[effort], stop):
            found = told.code if told.finished else gr.skip()
            note = f", root mean squared error {_error(told.picture, target):.1f}"
            note += " of 255 levels"
            alone = None
            if session.has_noise:
                alone = session.draw(session.plain(told.code))
                note += f", of the latents alone {_error(alone, target):.1f}"
            yield found, shown_as(target, told.picture, alone), _told(told, note)

    def code(visit: Visit) -> tuple[Code, str]:
        if visit.photo is None:
            raise UserError("nothing is inverted yet")
        return visit.photo, "photograph"

    def edit(visit: Visit) -> tuple[Any, str]:
        code(visit)
        return gr.Tabs(selected="Attributes"), PHOTO

    target = gr.State(None)
    compared = _COMPARED[session.features.kind]
    with gr.Row():
        with gr.Column(scale=3):
            shown = gr.HTML(shown_as(None), elem_id="inverted")
            state = gr.HTML(elem_id="inversion-state")
        with gr.Column(scale=2):
            file = gr.File(
                label="Photograph",
                file_types=["image"],
                type="binary",
                elem_id="upload",
            )
            face = gr.Checkbox(
                label="Find the face and place it as the network's", elem_id="find-face"
            )
            effort, start = _controls(page, "Invert", "invert", "inversion-state")
            with gr.Row():
                move = gr.Button(
                    "Edit this photograph",
                    size="sm",
                    visible=bool(session.sliders),
                    elem_id="photo-edit",
                )
                save_button(page, code, [], name="photo")
            gr.Markdown(compared, elem_classes="note")
    events = [file.upload, file.clear, face.change]
    listen(events, read, [file, face], [target, shown], lane="read")
    if session.sliders:
        page.on([move.click], edit, [], [page.book, page.kinds["Attributes"]])
    outputs = [page.photo, shown, state]
    listen([start.click], invert, [target, effort], outputs, lane=SEARCH)


def painting(page: Page, tab: gr.Tab) -> None:
    """Inpainting and scribbles."""
    session = page.session

    def load(visit: Visit, kind: str, seed: int) -> np.ndarray:
        return session.picture(visit.source(kind, seed))

    def paint(
        psi: float,
        class_index: int | None,
        photo: Code | None,
        kind: str,
        seed: int,
        drawn: list[np.ndarray],
        mode: str,
        parts: list[str],
        effort: str,
        request: gr.Request,
    ) -> Iterator[tuple[Any, str, str]]:
        source = page.visit(psi, class_index, photo).source(kind, seed)
        picture = session.picture(source)
        painted = photo_sources.strokes(drawn, picture)
        mask = photo_sources.as_mask(painted)
        stop, length = page.visitors.begin(request.session_hash), EFFORTS[effort]
        if mode == INPAINT:
            for part in parts:
                there = masks.part(part, session.resolution, page.frame)
                mask = np.maximum(mask, there)
            before = masks.covered(picture, mask)
            steps = searches.inpaint(session, picture, mask, length, stop)
        else:
            before = photo_sources.as_picture(painted, picture)
            steps = searches.scribble(session, source, before, mask, length, stop)
        given = figure(before, "Given")
        none = figure(None, "Result", empty="The result")
        yield None, row([given, none]), _WAITING
        for told in steps:
            shown = row([given, figure(told.picture, "Result", "painted")])
            yield told.code if told.finished else None, shown, _told(told)

    def keep(result: Code | None) -> Code:
        if result is None:
            raise UserError("there is no result yet; search first")
        return result

    result = gr.State(None)
    with gr.Row():
        with gr.Column(scale=3):
            editor = canvas(session.resolution)
            state = gr.HTML(elem_id="paint-state")
            shown = gr.HTML(elem_id="painted")
        with gr.Column(scale=2):
            picker = Picker("On", 3, with_photo=True, name="paint")
            mode = gr.Radio(
                [INPAINT, SCRIBBLE],
                value=INPAINT,
                label="What strokes are",
                info="Holes to fill in, in any colour; or what should be there",
                elem_id="paint-mode",
            )
            parts = gr.CheckboxGroup(
                _PARTS, label="Also fill in", elem_id="paint-parts"
            )
            effort, start = _controls(page, "Search", "paint", "paint-state")
            kept = gr.Button("Keep as my photograph", size="sm", elem_id="paint-keep")
            save_button(
                page,
                lambda _, found: (keep(found), "painted"),
                [result],
                name="painted",
            )
    at_once(mode.change, lambda mode: gr.update(visible=mode == INPAINT), mode, parts)
    page.redraw(tab, picker.events, load, picker.inputs, editor)
    shared = [page.psi, page.class_index, page.photo]
    inputs = [*shared, *picker.inputs, editor, mode, parts, effort]
    listen([start.click], paint, inputs, [result, shown, state], lane=SEARCH)
    listen([kept.click], keep, [result], [page.photo]).success(
        lambda: gr.Info("It is the photograph of all tabs now", duration=3),
        api_visibility="private",
    )


def _controls(
    page: Page, verb: str, name: str, state: str
) -> tuple[gr.Radio, gr.Button]:
    """Effort, start and stop, which reports in `state` at once."""
    choices = [
        (f"{key.capitalize()} ({sum(value)} iterations)", key)
        for key, value in EFFORTS.items()
    ]
    effort = gr.Radio(
        choices, value="usual", label="How long", elem_id=f"{name}-effort"
    )
    with gr.Row():
        start = gr.Button(verb, variant="primary", elem_id=f"{name}-start")
        stop = gr.Button("Stop", elem_id=f"{name}-stop")

    def end(request: gr.Request) -> None:
        page.visitors.stop(request.session_hash)

    at_once(stop.click, end, None, None, js=_STOPPING % state)
    return effort, start


def _error(picture: np.ndarray, target: np.ndarray) -> float:
    return float(np.sqrt(np.mean((picture.astype(float) - target) ** 2)))


def _told(told: Progress, note: str = "") -> str:
    text = f"{told.done} of {told.total} iterations{note}"
    if told.finished:
        text += " · done" if told.done >= told.total else " · stopped"
    return bar(told.done, told.total, text)
