"""Class labels of image files, from folders, `dataset.json` or a csv table.

Files are named by paths with forward slashes, relative to the folder or zip. Labels
are class names, class numbers or vectors; None where a file has none.
"""

import csv
import dataclasses
import io
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io.decoding import UnreadableImageError

Label = str | int | tuple[float, ...]
_logger = logging.getLogger(__name__)

# RecursionError: endless nesting; ArithmeticError: numbers beyond float.
_MALFORMED = (ValueError, RecursionError, ArithmeticError)
TABLES = {"json": "dataset.json", "csv": "labels.csv"}  # by what `labels` asks for
MAX_CLASSES = 2**16  # labels are one-hot; larger numbers are identifiers
_FILE_COLUMNS = ("file", "filename", "image", "name", "path", "img", "imageid", "id")
_LABEL_COLUMNS = ("label", "class", "category", "labels", "classname", "target", "y")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelTable:
    """One label per image: a class number, or a vector.

    `values` is int `[num_images]` or float32 `[num_images, size]`; `names` are those of
    classes, () for vectors.
    """

    values: np.ndarray
    size: int
    names: tuple[str, ...] = ()

    def vector(self, index: int) -> np.ndarray:
        """Label of one image, float32 `[size]`: one-hot, or the vector itself."""
        if self.values.ndim == 2:
            return self.values[index]
        label = np.zeros(self.size, np.float32)
        label[self.values[index]] = 1
        return label

    def take(self, indices: np.ndarray) -> "LabelTable":
        """The table of a selection of images."""
        return dataclasses.replace(self, values=self.values[indices])


def is_table(file: str) -> bool:
    """Whether a file holds labels."""
    return PurePosixPath(file).name == "dataset.json" or file.lower().endswith(".csv")


def read(
    wanted: str,
    files: Sequence[str],
    tables: Iterable[str],
    read_file: Callable[[str], bytes],
    name: str,
) -> list[Label | None]:
    """Labels of `files`, as `wanted`: "folders", "json", "csv" or the name of a table.

    `tables` are label files beside the images, `read_file` gives a file's bytes, `name`
    is for messages.

    Raises:
        UserError: there is no such table, or it cannot be read.
    """
    if wanted == "folders":
        return from_folders(files)
    table = TABLES.get(wanted, wanted)
    # A zip often wraps everything in one folder.
    matching = [path for path in tables if f"/{path}".endswith(f"/{table}")]
    if not matching:
        raise UserError(f"{name} has no {table}, which labels={wanted} asks for")
    path = min(sorted(matching), key=lambda path: path.count("/"))
    inside = path.removesuffix(table)
    relative = [file.removeprefix(inside) for file in files]
    try:
        text = read_file(path)
    except (UnreadableImageError, OSError) as error:
        raise UserError(f"{path} of {name} cannot be read: {error}") from error
    if table.endswith(".json"):
        return from_json(text, relative)
    return from_csv(text, relative, table)


def make_table(labels: Sequence[Label]) -> LabelTable:
    """Numbers the classes in order of their names, or stacks vectors.

    Raises UserError for mixed kinds, different lengths or a negative class.
    """
    kinds = {type(label) for label in labels}
    if kinds == {tuple}:
        lengths = {len(label) for label in labels if isinstance(label, tuple)}
        if len(lengths) > 1:
            raise UserError(f"label vectors differ in length: {sorted(lengths)}")
        vectors = np.array(labels, np.float32)
        if not np.isfinite(vectors).all():
            raise UserError("label vectors hold values that are not finite")
        return LabelTable(values=vectors, size=lengths.pop())
    if kinds == {int}:  # class numbers, which may leave gaps
        numbers = [label for label in labels if isinstance(label, int)]
        low, high = min(numbers), max(numbers)
        if low < 0 or high >= MAX_CLASSES:
            raise UserError(
                f"class numbers from {low} to {high} are not within 0 to "
                f"{MAX_CLASSES - 1}"
            )
        names = [str(i) for i in range(high + 1)]
        values = np.array(numbers, np.int64)
        return LabelTable(values=values, size=high + 1, names=tuple(names))
    if kinds != {str}:
        found = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise UserError(
            f"labels must be all numbers, all names or all vectors: {found}"
        )
    names = sorted({str(label) for label in labels}, key=_natural)
    number = {name: i for i, name in enumerate(names)}
    values = np.array([number[str(label)] for label in labels], np.int64)
    return LabelTable(values=values, size=len(names), names=tuple(names))


def _natural(name: str) -> tuple[bool, int, str]:
    """Puts class 10 after class 9."""
    number = name.isdecimal() and len(name) < 20  # Python refuses very long ones
    return (False, int(name), name) if number else (True, 0, name)


def from_folders(files: Sequence[str]) -> list[Label | None]:
    """The first folder at which the paths differ; None for files beside those.

    Raises UserError for fewer than two folders or folders that only number the files.
    """
    if all(map(_is_counted, files)):
        first, last = files[0], files[-1]
        raise UserError(
            f"the folders, from {first!r} to {last!r}, only count the images, as data "
            "sets of StyleGAN2-ADA and FFHQ do, and are no classes; give labels=json "
            "if there is a dataset.json, or labels=none"
        )
    folders = [PurePosixPath(file).parts[:-1] for file in files]
    depth = 0
    while (
        len({parts[depth : depth + 1] for parts in folders}) == 1 and folders[0][depth:]
    ):
        depth += 1
    labels: list[Label | None] = [
        parts[depth] if len(parts) > depth else None for parts in folders
    ]
    if len({label for label in labels if label is not None}) < 2:
        raise UserError("labels from folders need two sub-folders with images at least")
    return labels


def _is_counted(file: str) -> bool:
    """Whether a folder only counts its images, as StyleGAN2-ADA's and FFHQ's do.

    Sources: `convert_dataset`, dataset_tool.py, NVlabs/stylegan2-ada-pytorch
    (`00012/img00012345.png`); FFHQ, by the thousand (`12000/12345.png`).
    """
    match = re.search(r"(?:^|/)(\d{5})/(?:img(\d{5})\d{3}|(\d{2})\d{3})\.\w+$", file)
    if not match:
        return False
    folder, ada, ffhq = match.groups()
    return folder == (ada or f"{ffhq}000")


def from_json(text: str | bytes, files: Sequence[str]) -> list[Label | None]:
    """Labels of StyleGAN2-ADA's `dataset.json`: `{"labels": [[file, label], ...]}`.

    Raises UserError for malformed files, no labels, or labels of other files.

    Source: `_load_raw_labels`, training/dataset.py, NVlabs/stylegan2-ada-pytorch.
    """
    table: dict[str, Label] = {}
    try:
        labels = json.loads(text)["labels"] or ()
        pairs = labels.items() if isinstance(labels, dict) else labels
        for file, value in pairs:
            label = _json_label(value)
            if table.setdefault(_clean(file), label) != label:
                raise UserError(
                    f"dataset.json gives {file!r} two labels, {table[_clean(file)]} "
                    f"and {label}; keep one of them"
                )
    except UserError:
        raise
    except json.JSONDecodeError as error:
        raise UserError(
            f"dataset.json is not JSON: line {error.lineno}, column {error.colno}: "
            f"{error.msg}"
        ) from error
    except (*_MALFORMED, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f'dataset.json is not {{"labels": [[file, label], ...]}} ({error!r})'
        ) from error
    if not table:
        raise UserError("dataset.json holds no labels; use labels=none")
    _warn_of_gaps(table)
    return _matched([table.get(file) for file in files], "dataset.json", list(table))


def _json_label(label: object) -> Label:
    if isinstance(label, list):
        return tuple(float(value) for value in label)
    if isinstance(label, float) and label.is_integer():  # as NumPy and pandas write it
        return int(label)
    if isinstance(label, str | int) and not isinstance(label, bool):
        return label
    raise TypeError(f"label {label!r} is neither a class nor a vector")


def _warn_of_gaps(table: dict[str, Label]) -> None:
    numbers = {label for label in table.values() if isinstance(label, int)}
    high = max(numbers, default=0)
    if 0 <= high < MAX_CLASSES and (gaps := set(range(high)) - numbers):
        some = ", ".join(map(str, sorted(gaps)[:5])) + (
            ", ..." if len(gaps) > 5 else ""
        )
        _logger.warning(
            "dataset.json has class numbers up to %d, but no image of %s; classes are "
            "counted from 0",
            high,
            f"class {some}" if len(gaps) == 1 else f"classes {some}",
        )


def from_csv(text: bytes, files: Sequence[str], table_name: str) -> list[Label | None]:
    """Classes of a csv table with a file column and a label column, found by heading.

    Names may lack the extension and, if then unique, the folder. Empty labels: None.
    Raises UserError without such columns or matching rows.
    """
    decoded = text.decode("utf-8-sig", errors="replace")
    delimiter = max(",;\t", key=decoded.partition("\n")[0].count)
    try:
        rows = [*filter(None, csv.reader(io.StringIO(decoded), delimiter=delimiter))]
    except csv.Error as error:
        raise UserError(f"{table_name} is not a csv table ({error})") from error
    if not rows:
        raise UserError(f"{table_name} is empty")
    headings = ["".join(filter(str.isalnum, cell.lower())) for cell in rows[0]]
    file_at = next((headings.index(c) for c in _FILE_COLUMNS if c in headings), None)
    label_at = next((headings.index(c) for c in _LABEL_COLUMNS if c in headings), None)
    if file_at is None or label_at is None:
        if len(rows[0]) != 2:
            raise UserError(
                f"{table_name} has columns {', '.join(rows[0])}; name the two that "
                f"count file and label"
            )
        file_at, label_at = 0, 1
    else:
        rows = rows[1:]
    table: dict[str, str] = {}
    for row in rows:  # of contradicting rows the first one counts
        if len(row) > max(file_at, label_at) and row[label_at].strip():
            table.setdefault(_clean(row[file_at]), row[label_at].strip())
    return _matched(_look_up(table, files), table_name, list(table))


def _look_up(table: dict[str, str], files: Sequence[str]) -> list[Label | None]:
    stems = [str(PurePosixPath(file).with_suffix("")) for file in files]
    rows_named = Counter(PurePosixPath(row).name for row in table)
    files_named = Counter(PurePosixPath(file).name for file in files)
    stems_named = Counter(PurePosixPath(stem).name for stem in stems)
    by_name = {PurePosixPath(row).name: label for row, label in table.items()}
    labels: list[Label | None] = []
    for file, stem in zip(files, stems, strict=True):
        label = table.get(file, table.get(stem))
        name, short = PurePosixPath(file).name, PurePosixPath(stem).name
        if label is None and rows_named[name] == 1 and files_named[name] == 1:
            label = by_name[name]
        if label is None and rows_named[short] == 1 and stems_named[short] == 1:
            label = by_name[short]
        labels.append(label)
    return labels


def _clean(name: str) -> str:
    return name.strip().replace("\\", "/").removeprefix("./")


def _matched(
    labels: list[Label | None], table_name: str, rows: list[str]
) -> list[Label | None]:
    if all(label is None for label in labels):
        example = f"such as {rows[0]!r}" if rows else "none"
        raise UserError(
            f"no row of {table_name} names one of the {len(labels)} images (it names "
            f"{len(rows)} files, {example})"
        )
    return labels
