"""Layout of the page: shared settings above, tabs below."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import gradio as gr
from gradio import themes

from stylegan_jax.demo import drawing_tabs, search_tabs
from stylegan_jax.demo.page import PSI, Page
from stylegan_jax.demo.session import Session
from stylegan_jax.demo.uploads import Uploads
from stylegan_jax.demo.visitors import FairQueue, Visitors
from stylegan_jax.editing.masks import FFHQ, FaceFrame

CSS = Path(__file__).with_name("page.css")
# Fonts that are on the visitor's machine; gradio's own come from another host.
THEME = themes.Default(
    font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")
)
# Shown until the page's program has run.
LOADING = (
    "<style>gradio-app:not(:has(*))::before {content: 'The page is loading ...'; "
    "font: 16px system-ui, sans-serif; padding: 24px; display: block}</style>"
)
_PIXELS = "(on) => { document.body.classList.toggle('pixels', on); return []; }"


class Demo(NamedTuple):
    """The page, its uploads and its visitors."""

    blocks: gr.Blocks
    uploads: Uploads
    visitors: Visitors


def build(session: Session, *, title: str, frame: FaceFrame = FFHQ) -> Demo:
    """The page of a network, whose faces lie as in `frame`."""
    uploads, visitors = Uploads(), Visitors()  # before components, which look there
    with gr.Blocks(
        title=f"{title} · stylegan_jax",
        analytics_enabled=False,
        fill_width=True,
    ) as blocks:
        size = session.resolution
        with gr.Row(elem_classes="head"):
            gr.Markdown(f"## {title}\n{size} x {size} px, {session.num_rows} layers")
            psi = gr.Slider(
                -1,
                1.5,
                PSI,
                step=0.05,
                label="Truncation ψ: 0 mean, 1 as trained",
                scale=2,
                visible=session.truncates,
                elem_id="psi",
            )
            class_index = gr.Dropdown(
                list(range(session.num_classes)),
                value=0 if session.num_classes else None,
                label="Class of seeds",
                visible=bool(session.num_classes),
                elem_id="class",
            )
            pixels = gr.Checkbox(
                label="Show single pixels", elem_id="pixels", container=False
            )
        pixels.change(None, pixels, None, js=_PIXELS)
        photo, current = gr.State(None), gr.State("Samples")
        with gr.Tabs() as book:
            page = Page(
                session, frame, visitors, current, psi, class_index, photo, book
            )
            for name, make in tabs(session).items():
                short = name.lower().split()[0]
                with gr.Tab(name, id=name, elem_id=f"tab-{short}") as tab:
                    make(page, tab)
        page.redraw_open()

        def leave(request: gr.Request) -> None:
            visitors.stop(request.session_hash)

        blocks.unload(leave)
    blocks.queue(api_open=False)
    blocks._queue = FairQueue(blocks, visitors)
    return Demo(blocks, uploads, visitors)


def tabs(session: Session) -> dict[str, Callable[[Page, gr.Tab], None]]:
    """The tabs that a network supports, and their builders."""
    found = {"Samples": drawing_tabs.samples}
    if session.sliders:
        found["Attributes"] = drawing_tabs.attributes
    if session.editable:
        found["Style mixing"] = drawing_tabs.mixing
    found["Morphing"] = drawing_tabs.morphing
    if session.editable:
        found["Photograph"] = search_tabs.photograph
        found["Painting"] = search_tabs.painting
    return found
