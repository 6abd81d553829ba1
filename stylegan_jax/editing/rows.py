"""Rows of a code by name (coarse, middle, fine) and as the papers' rows of 18.

A code has one row per layer of the synthesis network; rows `2k - 2` and `2k - 1` (from
0) work at `2 ** (k + 1)` pixels.
"""

import re

from stylegan_jax.errors import UserError

# Of 18, counted from 0. Image2StyleGAN, style transfer: content keeps the first nine.
CONTENT_ROWS = tuple(range(9))
# Image2StyleGAN++, inpainting: rows 1 to 9, 17 and 18.
INPAINTING_ROWS = (*range(9), 16, 17)
# Image2StyleGAN++, scribbles: "the first 4 to 6 layers".
SCRIBBLE_ROWS = tuple(range(6))

NAMES = ("coarse", "middle", "fine", "style", "all")


def rows_of_18(rows: tuple[int, ...], num_layers: int) -> tuple[int, ...]:
    """The papers' rows of 18 for a network with `num_layers` rows.

    Row `i` of L stands for row `floor((i + 1/2) 18 / L)`: the same depth, not the same
    pixels, because what a row governs (pose, features, colours) goes with its depth.
    """
    middles = ((2 * i + 1) * 18 // (2 * num_layers) for i in range(num_layers))
    return tuple(i for i, middle in enumerate(middles) if middle in rows)


def named_rows(name: str, num_layers: int) -> tuple[int, ...]:
    """The rows of one of `NAMES`.

    Coarse are 4 and 8 px, middle 16 and 32 px, fine all from 64 px on; in networks
    below 64 px the last resolution is fine and the one before it middle. Style is
    Image2StyleGAN's style transfer, rows 10 to 18 of 18.

    Source: Karras et al. 2018, figure 3. Differs: networks below 64 px.
    """
    if name == "style":
        kept = rows_of_18(CONTENT_ROWS, num_layers)
        return tuple(i for i in range(num_layers) if i not in kept)
    last = num_layers // 2  # the number of resolutions
    middle, fine = max(1, min(2, last - 2)), min(4, last - 1)
    first, end = {
        "coarse": (0, middle),
        "middle": (middle, fine),
        "fine": (fine, last),
        "all": (0, last),
    }[name]
    return tuple(range(2 * first, 2 * end))


def parse_rows(text: str, num_layers: int) -> tuple[int, ...]:
    """The rows of `coarse`, `0-3`, `middle,7`: names, rows and inclusive ranges."""
    rows: set[int] = set()
    known = f"this network has rows 0 to {num_layers - 1}"
    for part in (part.strip() for part in text.split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if part in NAMES:
            rows.update(named_rows(part, num_layers))
            continue
        if not match:
            raise UserError(
                f"rows {text}: {part!r} is neither {', '.join(NAMES)} nor a row or "
                f"range such as 0-3; {known}"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < num_layers:
            raise UserError(f"rows {part}: {known}")
        rows.update(range(first, last + 1))
    return tuple(sorted(rows))
