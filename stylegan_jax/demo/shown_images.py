"""Pictures as inline HTML, enlarged by the browser; never files on the server."""

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


def figure(
    picture: np.ndarray | None, caption: str, name: str | None = None, empty: str = ""
) -> str:
    """A captioned picture, uint8 `[H, W, C]`, with a link that saves it as `name`.

    None shows a placeholder with the text `empty`; texts are plain.
    """
    text, link = html.escape(caption), ""
    if picture is None:
        shown = f'<div class="none">{html.escape(empty)}</div>'
    else:
        data = base64.b64encode(images.encode_png(picture)).decode()
        shown = f'<img alt="{text}" src="data:image/png;base64,{data}">'
        if name is not None:
            file = f'href="#" download="{html.escape(name)}.png"'
            link = f'<a {file} onclick="{_SAVE}">Save PNG</a>'
    return (
        f'<figure class="picture">{shown}'
        f"<figcaption><span>{text}</span>{link}</figcaption></figure>"
    )


def row(figures: Sequence[str], columns: int | None = None) -> str:
    """Figures side by side."""
    count = columns or len(figures)
    style = f"grid-template-columns: repeat({count}, minmax(0, 1fr))"
    return f'<div class="pictures" style="{style}">{"".join(figures)}</div>'


def bar(done: int, total: int, text: str) -> str:
    """A progress bar with a text below."""
    share = 100 * done / max(total, 1)
    return (
        f'<div class="searching"><div style="width: {share:.0f}%"></div></div>'
        f'<div class="note">{html.escape(text)}</div>'
    )


def code_file(code: Code, name: str) -> str:
    """A code's file as text for `SAVE_FILE`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "code.safetensors"
        codes.save(path, code, {"made_by": "stylegan_jax.serve"})
        data = base64.b64encode(path.read_bytes()).decode()
    return json.dumps({"name": f"{name}.safetensors", "data": data})
