"""Paint canvas: gradio's image editor with our own decoder."""

import abc
import base64
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.image_editor import EditorData

from stylegan_jax.demo import photo_sources
from stylegan_jax.demo.page import guarded
from stylegan_jax.errors import UserError
from stylegan_jax.io import images, resampling

_LEAST = 448  # pixels of the side
_MOST_LAYERS = 4  # the page has one
_COLOURS = ["#202020", "#f0f0f0", "#7a4a24", "#d8b050", "#c03040", "#3070c0", "#e8c0a0"]


class _WithoutStubs(type(gr.ImageEditor)):
    """Keeps gradio from writing a stub file beside the source of each component."""

    def __new__(cls, name: str, bases: tuple, attributes: dict) -> Any:
        return abc.ABCMeta.__new__(cls, name, bases, attributes)


class Canvas(gr.ImageEditor, metaclass=_WithoutStubs):
    """An editor of strokes on a picture.

    As an input a list of layers, uint8 `[S, S, 4]`; as an output the picture, uint8
    `[R, R, C]`. It reads no files but uploads.
    """

    is_template = True  # in the browser it is gradio's

    @guarded
    def preprocess(self, payload: EditorData | None) -> Any:
        """The layers; UserError for values that the page does not send."""
        layers = payload.layers if payload else []
        if len(layers) > _MOST_LAYERS:
            raise UserError(f"a painting has at most {_MOST_LAYERS} layers")
        side = self.canvas_size[0]
        return [
            photo_sources.read_layer(Path(layer.path).read_bytes(), side)
            for layer in layers
        ]

    def postprocess(self, value: Any) -> Any:
        """The picture, enlarged; without a path, so that gradio looks for no file."""
        if value is None:
            return None
        shown = resampling.resize(images.convert_channels(value, 3), self.canvas_size)
        data = base64.b64encode(images.encode_png(shown)).decode()
        background = {
            "url": f"data:image/png;base64,{data}",
            "meta": {"_type": "gradio.FileData"},
        }
        return {"background": background, "layers": [], "composite": None}


def canvas(resolution: int) -> Canvas:
    """An editor for strokes on a picture of `resolution` pixels, enlarged."""
    side = resolution * -(-_LEAST // resolution)
    return Canvas(
        type="numpy",
        image_mode="RGBA",
        sources=(),
        transforms=(),
        layers=False,
        buttons=[],
        canvas_size=(side, side),
        fixed_canvas=True,
        height=side + 90,
        brush=gr.Brush(default_size=24, colors=[*_COLOURS], default_color=_COLOURS[0]),
        label="Paint here",
        elem_id="editor",
    )
