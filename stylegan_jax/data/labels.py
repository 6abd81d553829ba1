"""Class labels of image files, from folders, `dataset.json` or a csv table.

Files are named by paths with forward slashes, relative to the folder or zip. Labels
are class names, class numbers or vectors.
"""

import codecs
import csv
import dataclasses
import io
import itertools
import json
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np

from stylegan_jax.errors import UserError
from stylegan_jax.io.decoding import UnreadableImageError

Label = str | int | tuple[float, ...]
L = TypeVar("L", bound=Label)
_logger = logging.getLogger(__name__)

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
        return np.eye(1, self.size, self.values[index], np.float32)[0]

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
) -> dict[str, Label]:
    """Labels by file, as `wanted`: "folders", "json", "csv" or the name of a table.

    `files` without a label are left out; `tables` are label files beside them,
    `read_file` gives a file's bytes, `name` is for messages. Raises UserError if there
    is no such table, or it cannot be read.
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
    names = {file: _composed(file.removeprefix(inside)) for file in files}
    try:
        text = read_file(path)
    except (UnreadableImageError, OSError) as error:
        raise UserError(f"{path} of {name} cannot be read: {error}") from error
    if table.endswith(".json"):
        rows = found = from_json(text)
    else:
        rows = from_csv(text, table)
        found = _look_up(rows, names.values())
    labels = {file: found[name] for file, name in names.items() if name in found}
    if not labels:
        raise UserError(
            f"no row of {table} names one of the {len(names)} images (it names "
            f"{len(rows)} files, such as {next(iter(rows), '')!r})"
        )
    return labels


def make_table(labels: Sequence[Label]) -> LabelTable:
    """Numbers the classes in order of their names, or stacks vectors.

    Raises UserError for mixed kinds, different lengths or a negative class.
    """
    kinds = {type(label).__name__ for label in labels}
    known: Sequence[Any] = labels
    if kinds == {"tuple"}:
        lengths = {len(label) for label in known}
        if len(lengths) > 1:
            raise UserError(f"label vectors differ in length: {sorted(lengths)}")
        vectors = np.array(known, np.float32)
        if not np.isfinite(vectors).all():
            raise UserError("label vectors hold values that are not finite")
        return LabelTable(values=vectors, size=lengths.pop())
    if kinds == {"int"}:  # class numbers, which may leave gaps
        low, high = min(known), max(known)
        if low < 0 or high >= MAX_CLASSES:
            raise UserError(
                f"class numbers from {low} to {high} are not within 0 to "
                f"{MAX_CLASSES - 1}"
            )
        names = tuple(str(i) for i in range(high + 1))
        return LabelTable(values=np.array(known), size=high + 1, names=names)
    if kinds != {"str"}:
        raise UserError(
            "labels must be all numbers, all names or all vectors, not "
            f"{', '.join(sorted(kinds))}"
        )
    names = tuple(sorted(set(known), key=_natural))
    number = {name: i for i, name in enumerate(names)}
    values = np.array([number[label] for label in known])
    return LabelTable(values=values, size=len(names), names=names)


def _natural(name: str) -> tuple[bool, int, str]:
    """Puts class 10 after class 9."""
    number = name.isdecimal() and len(name) < 20  # Python refuses very long ones
    return (False, int(name), name) if number else (True, 0, name)


def from_folders(files: Sequence[str]) -> dict[str, Label]:
    """The first folder at which the paths differ, without files beside those.

    Raises UserError for fewer than two folders or folders that only number the files.
    """
    if all(map(_is_counted, files)):
        raise UserError(
            f"the folders, from {files[0]!r} to {files[-1]!r}, only count the images, "
            "as data sets of StyleGAN2-ADA and FFHQ do, and are no classes; give "
            "labels=json if there is a dataset.json, or labels=none"
        )
    folders = [PurePosixPath(file).parts[:-1] for file in files]
    alike = zip(*folders, strict=False)
    depth = sum(1 for _ in itertools.takewhile(lambda x: len({*x}) == 1, alike))
    found: dict[str, Label] = {
        file: parts[depth]
        for file, parts in zip(files, folders, strict=True)
        if len(parts) > depth
    }
    if len({*found.values()}) < 2:
        raise UserError("labels from folders need two sub-folders with images at least")
    return found


def _is_counted(file: str) -> bool:
    """Whether a folder only counts its images, as StyleGAN2-ADA's and FFHQ's do.

    Sources: `convert_dataset`, dataset_tool.py, NVlabs/stylegan2-ada-pytorch
    (`00012/img00012345.png`); FFHQ, by the thousand (`12000/12345.png`).
    """
    match = re.search(r"(?:^|/)(\d{5})/(?:img(\d{5})\d{3}|(\d{2})\d{3})\.\w+$", file)
    return bool(match) and match[1] == (match[2] or f"{match[3]}000")


def from_json(text: str | bytes) -> dict[str, Label]:
    """Labels by file of StyleGAN2-ADA's `{"labels": [[file, label], ...]}`.

    Raises UserError for malformed files or no labels.

    Source: `_load_raw_labels`, training/dataset.py, NVlabs/stylegan2-ada-pytorch.
    """
    try:
        labels = json.loads(text)["labels"] or ()
        pairs = labels.items() if isinstance(labels, dict) else labels
        known = [(_clean(file), _json_label(label)) for file, label in pairs]
    except (
        *(ValueError, TypeError, KeyError, AttributeError),
        *(RecursionError, ArithmeticError),  # endless nesting; numbers beyond float
    ) as error:
        raise UserError(
            f'dataset.json is not {{"labels": [[file, label], ...]}} ({error!r})'
        ) from error
    if not known:
        raise UserError("dataset.json holds no labels; use labels=none")
    table = _once(known, "dataset.json")
    numbers = {label for label in table.values() if isinstance(label, int)}
    high = max(numbers, default=0)
    if 0 <= high < MAX_CLASSES and (gaps := sorted({*range(high)} - numbers)):
        _logger.warning(
            f"dataset.json has class numbers up to {high}, but no image of class "
            f"{', '.join(map(str, gaps[:5]))}{', ...' * (len(gaps) > 5)}; classes are "
            "counted from 0"
        )
    return table


def _json_label(label: object) -> Label:
    if isinstance(label, list):
        return tuple(float(value) for value in label)
    if isinstance(label, float) and label.is_integer():  # as NumPy and pandas write it
        return int(label)
    if isinstance(label, str | int) and not isinstance(label, bool):
        return label
    raise TypeError(f"label {label!r} is neither a class nor a vector")


def from_csv(text: bytes, table_name: str) -> dict[str, str]:
    """Classes by file of a csv table, without empty ones; columns by their headings.

    Raises UserError without a file column and a label column, or two labels of a file.
    """
    lines = io.StringIO(_decoded(text), newline=None)
    delimiter = max(",;\t", key=lines.readline().count)
    lines.seek(0)
    try:
        rows = [*filter(None, csv.reader(lines, delimiter=delimiter))]
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
    known = [
        # pandas writes class numbers as floats if one is missing.
        (_clean(row[file_at]), re.sub(r"^(\d+)\.0+$", r"\1", row[label_at].strip()))
        for row in rows
        if len(row) > max(file_at, label_at) and row[label_at].strip()
    ]
    return _once(known, table_name)


def _decoded(text: bytes) -> str:
    """Text in UTF-8 or, as spreadsheets write it, UTF-16 or Windows-1252."""
    if text[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return text.decode("utf-16", errors="replace")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return text.decode("cp1252", errors="replace")


def _once(known: Iterable[tuple[str, L]], table_name: str) -> dict[str, L]:
    """The labels by file; UserError for a file with two."""
    table: dict[str, L] = {}
    for file, label in known:
        if table.setdefault(file, label) != label:
            raise UserError(
                f"{table_name} gives {file!r} two labels, {table[file]} and {label}; "
                "keep one of them"
            )
    return table


def _look_up(table: Mapping[str, str], files: Iterable[str]) -> dict[str, Label]:
    """Labels by path, else by a unique name, both with or without the extension."""
    paths = {file: PurePosixPath(file) for file in files}
    rows = _unique((PurePosixPath(row).name, label) for row, label in table.items())
    names = _unique((path.name, file) for file, path in paths.items())
    stems = _unique((path.stem, file) for file, path in paths.items())
    found: dict[str, Label] = {file: rows[x] for x, file in stems.items() if x in rows}
    found |= {file: rows[x] for x, file in names.items() if x in rows}
    for file, path in paths.items():
        for name in (str(path.with_suffix("")), file):
            if name in table:
                found[file] = table[name]
    return found


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs whose first texts occur once."""
    pairs = list(pairs)
    counts = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if counts[name] == 1}


def _clean(name: str) -> str:
    return _composed(name.strip().replace("\\", "/").removeprefix("./"))


def _composed(name: str) -> str:
    """The name with composed letters: macOS takes them apart."""
    return unicodedata.normalize("NFC", name)
