"""Pictures as pieces of the page: their own pixels, enlarged by the browser."""

import base64
import html
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stylegan_jax.inversion import code as codes
from stylegan_jax.inversion.code import Code
from stylegan_jax.io import images

# The link takes the picture that is shown, so that it travels once.
_SAVE = "this.href = this.closest('figure').querySelector('img').src"

CSS = """
.gradio-container > main {width: 100%; max-width: 1080px; margin: 0 auto}
.head {align-items: center}
.picker {align-items: end}
footer {display: none !important}
.picture {margin: 0}
.picture img {display: block; width: 100%; aspect-ratio: 1; border-radius: 4px;
  background: var(--background-fill-secondary)}
.pixels .picture img {image-rendering: pixelated}
.picture figcaption {display: flex; justify-content: space-between; gap: 8px;
  padding-top: 4px; font-size: var(--text-sm); color: var(--body-text-color-subdued)}
.pictures {display: grid; gap: 12px}
.picture .none {display: flex; aspect-ratio: 1; align-items: center;
  justify-content: center; text-align: center; padding: 12px; border-radius: 4px;
  border: 1px dashed var(--border-color-primary);
  color: var(--body-text-color-subdued)}
.searching {height: 6px; border-radius: 3px; overflow: hidden;
  background: var(--border-color-primary)}
.searching div {height: 100%; background: var(--color-accent)}
.note {font-size: var(--text-sm); color: var(--body-text-color); opacity: 0.75}
"""

# Bytes come as text and become a file in the browser: nothing is kept on the server.
SAVE_FILE = """
(text) => {
  if (!text) return "";
  const {name, data} = JSON.parse(text);
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes]));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  return "";
}
"""


def figure(picture: np.ndarray, caption: str, name: str | None = None) -> str:
    """A picture with a caption, and where it has a name a link that saves it.

    Args:
        picture: uint8 `[H, W, C]`.
        caption: plain text.
        name: of the file, without ending.
    """
    data = base64.b64encode(images.encode_png(picture)).decode()
    link = ""
    if name is not None:
        link = (
            f'<a href="#" download="{html.escape(name)}.png" onclick="{_SAVE}">'
            "Save PNG</a>"
        )
    text = html.escape(caption)
    return (
        f'<figure class="picture"><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption><span>{text}</span>{link}</figcaption></figure>"
    )


def empty(text: str, caption: str = "") -> str:
    """The place of a picture that is not there yet."""
    return (
        f'<figure class="picture"><div class="none">{html.escape(text)}</div>'
        f"<figcaption>{html.escape(caption)}&nbsp;</figcaption></figure>"
    )


def row(figures: Sequence[str], columns: int | None = None) -> str:
    """Figures side by side."""
    count = columns or len(figures)
    style = f"grid-template-columns: repeat({count}, minmax(0, 1fr))"
    return f'<div class="pictures" style="{style}">{"".join(figures)}</div>'


def bar(done: int, total: int, text: str) -> str:
    """How far something is."""
    share = 100 * done / max(total, 1)
    return (
        f'<div class="searching"><div style="width: {share:.0f}%"></div></div>'
        f'<div class="note">{html.escape(text)}</div>'
    )


def code_file(code: Code, name: str, about: dict) -> str:
    """The file of a code, as `SAVE_FILE` takes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code.safetensors"
        codes.save(path, code, {"made_by": "stylegan_jax.serve", **about})
        data = base64.b64encode(path.read_bytes()).decode()
    return json.dumps({"name": f"{name}.safetensors", "data": data})
