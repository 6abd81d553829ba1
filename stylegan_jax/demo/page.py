"""Events, image pickers and the visitor's photograph, shared by all tabs."""

import contextlib
import dataclasses
import functools
import inspect
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from stylegan_jax.demo import shown_images
from stylegan_jax.demo.session import Sample, Session, Source
from stylegan_jax.demo.visitors import SEARCH, Visitors
from stylegan_jax.editing.masks import FaceFrame
from stylegan_jax.errors import UserError
from stylegan_jax.inversion.code import Code

SEED, PHOTO = "Seed", "Photograph"
PSI = 0.7  # truncation at first
_MOST_SEEDS = 1_000_000  # that a random one is drawn from
# Concurrent calls per queue. Drawing continues during searches and uploads; two
# searches at once would both be slow.
_LANES = {"draw": 2, "read": 1, SEARCH: 1}

_log = logging.getLogger(__name__)


# --- Events ------------------------------------------------------------------------


def listen(
    events: Sequence[Any],
    function: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    *,
    lane: str = "draw",
) -> Any:
    """Calls a function at events; while it runs, only the newest further one waits.

    Queued, because without the queue gradio shows no errors; `lane` is one of `_LANES`.
    """
    return gr.on(
        list(events),
        guarded(function),
        list(inputs),
        list(outputs),
        show_progress="hidden",
        trigger_mode="once" if lane == SEARCH else "always_last",
        api_visibility="private",
        concurrency_id=lane,
        concurrency_limit=_LANES[lane],
    )


def at_once(
    event: Callable[..., Any], function: Any, inputs: Any, outputs: Any, **options: Any
) -> Any:
    """Calls a quick function past the queue."""
    private = {"queue": False, "api_visibility": "private"}
    return event(function, inputs, outputs, **private, **options)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its errors as messages on the page.

    `UserError` is shown; other exceptions are logged with their traceback, not shown.
    """
    if not inspect.isgeneratorfunction(function):
        return _messages(function.__name__)(function)

    @functools.wraps(function)
    def generate(*args: Any) -> Iterator[Any]:
        with _messages(function.__name__):
            yield from function(*args)

    return generate


@contextlib.contextmanager
def _messages(name: str) -> Iterator[None]:
    try:
        yield
    except gr.Error:
        raise
    except UserError as error:
        text = str(error)
        raise gr.Error(text[:1].upper() + text[1:], print_exception=False) from None
    except Exception as error:
        _log.exception("%s failed", name)
        text = f"{type(error).__name__} in the program; its terminal says more"
        raise gr.Error(text, print_exception=False) from None


# --- Settings of a visitor -----------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Visit:
    """A visitor's settings for all tabs at an event."""

    psi: float
    class_index: int | None
    photo: Code | None

    def source(self, kind: str, seed: float | None) -> Source:
        """The image of a `Picker`; UserError if there is none."""
        if kind == PHOTO:
            if self.photo is None:
                raise UserError("there is no photograph yet; invert one in its tab")
            return self.photo
        return self.sample(seed)

    def sample(self, seed: float | None, noise_seed: int | None = None) -> Sample:
        """A sample; UserError for an invalid seed."""
        if seed is None:
            raise UserError("give a seed: a number from 0")
        return Sample(int(seed), self.psi, self.class_index, noise_seed)


@dataclasses.dataclass(frozen=True)
class Page:
    """The network, and the components shared by all tabs."""

    session: Session
    frame: FaceFrame  # where faces lie
    visitors: Visitors
    current: gr.State  # name of the tab that is open
    psi: gr.Slider
    class_index: gr.Dropdown
    photo: gr.State
    book: gr.Tabs
    # What pickers of tabs choose, seed or photograph, by tab.
    kinds: dict[str, gr.Radio] = dataclasses.field(default_factory=dict)
    # Name, function, inputs and output of each tab that is redrawn.
    drawn: list[tuple[str, Any, Any, Any]] = dataclasses.field(default_factory=list)

    def visit(
        self, psi: float | None, class_index: int | None, photo: Code | None
    ) -> Visit:
        """Settings from component values, which may be None while edited."""
        psi = PSI if psi is None else psi
        return Visit(psi, class_index if self.session.num_classes else None, photo)

    def on(
        self,
        events: Sequence[Any],
        function: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
    ) -> Any:
        """Calls `function(visit, *values of inputs)` at events."""
        mine = [self.psi, self.class_index, self.photo]

        def call(psi: float, class_index: int | None, photo: Any, *own: Any) -> Any:
            return function(self.visit(psi, class_index, photo), *own)

        return listen(events, call, [*mine, *inputs], outputs)

    def redraw(
        self,
        tab: gr.Tab,
        events: Sequence[Any],
        function: Callable[..., Any],
        inputs: Sequence[Any],
        output: Any,
    ) -> None:
        """As `on`; also when the tab is opened, and at changes of shared settings."""
        name = str(tab.label)
        self.on([tab.select, *events], function, inputs, [output])
        self.drawn.append((name, function, inputs, output))
        at_once(tab.select, lambda: name, None, self.current)

    def redraw_open(self) -> None:
        """Redraws the open tab at changes of shared settings.

        One listener for all tabs: gradio repeats an event for each of its listeners
        that was busy, and several would keep each other busy forever.
        """

        def call(visit: Visit, current: str, *values: Any) -> list[Any]:
            rest, results = iter(values), []
            for name, function, inputs, _ in self.drawn:
                own = [next(rest) for _ in inputs]
                is_open = name == current
                results.append(function(visit, *own) if is_open else gr.skip())
            return results

        inputs = [self.current, *(x for drawn in self.drawn for x in drawn[2])]
        outputs = [output for *_, output in self.drawn]
        self.on([self.psi.input, self.class_index.input], call, inputs, outputs)


class Picker:
    """Components that choose a seed or the visitor's photograph."""

    def __init__(self, label: str, seed: int, *, with_photo: bool, name: str) -> None:
        """Creates the components; ids begin with `name`."""
        self.kind = gr.Radio(
            [SEED, PHOTO],
            value=SEED,
            label=label,
            visible=with_photo,
            elem_id=f"{name}-kind",
        )
        with gr.Row(elem_classes="picker"):
            self.seed = gr.Number(
                seed,
                label="Seed" if with_photo else label,
                precision=0,
                elem_id=f"{name}-seed",
                min_width=80,
            )
            dice = gr.Button(
                "Random", size="sm", min_width=80, elem_id=f"{name}-random", scale=0
            )
        rolled = at_once(dice.click, random_seed, None, self.seed)
        at_once(rolled.then, lambda: SEED, None, self.kind)
        self.inputs: list[Any] = [self.kind, self.seed]  # for `Visit.source`
        self.events: list[Any] = [self.kind.change, self.seed.change]


def random_seed() -> int:
    """A random seed."""
    return random.randrange(_MOST_SEEDS)


def save_button(
    page: Page,
    function: Callable[..., tuple[Code, str]],
    inputs: Sequence[Any],
    *,
    name: str,
) -> None:
    """A button that saves the code of `function`, which returns it and a file name."""
    button = gr.Button("Save latents", size="sm", elem_id=f"{name}-save")
    text = gr.Textbox(visible="hidden", elem_id=f"{name}-saved")

    def save(visit: Visit, *values: Any) -> str:
        return shown_images.code_file(*function(visit, *values))

    page.on([button.click], save, inputs, [text]).success(
        None, text, text, js=shown_images.SAVE_FILE
    )
