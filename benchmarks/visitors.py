"""Visitors of the demo, without a browser: how many are answered, and how soon.

    python -m benchmarks.visitors                      # 20 for 2 minutes
    python -m benchmarks.visitors NETWORK --visitors 50 --seconds 30

Serves a network, and has visitors call its functions over HTTP as the page does, one
call after the other: seeds, attributes, mixing, morphing, photographs, strokes, and now
and then a search. Prints calls, errors, and the seconds from a call to its answer.
"""

import argparse
import http.client
import json
import random
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from benchmarks.serve import served
from stylegan_jax.io import images

API = "/gradio_api"
FILE = {"_type": "gradio.FileData"}
_BOUNDARY = "a-boundary"


class Visitor:
    """One who calls functions of the page."""

    def __init__(self, url: str, name: str | None = None) -> None:
        """Knows the page.

        Args:
            url: of the page.
            name: hash of the session; by default a random one.
        """
        self.netloc = urlsplit(url).netloc
        self.name = name or f"v{random.getrandbits(40):x}"
        page = json.loads(self.ask("GET", "/config")[1])
        self.functions = {dep["id"]: dep for dep in page["dependencies"]}
        self.components = {part["id"]: part for part in page["components"]}

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict | None = None
    ) -> tuple[int, str]:
        """The status and text of an answer; bodies that are not bytes go as JSON."""
        connection = http.client.HTTPConnection(self.netloc, timeout=120)
        headers = headers or {}
        if body is not None and not isinstance(body, bytes | Iterator):
            body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json", **headers}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def upload(self, data: bytes, name: str = "a.png") -> Any:
        """An uploaded file, as a value."""
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        status, text = self.ask("POST", f"{API}/upload", form(data, name), kind)
        if status != 200:
            raise OSError(f"{status} {text}")
        return {"path": json.loads(text)[0], "orig_name": name, "meta": FILE}

    def join(self, function: int, data: Sequence[Any]) -> tuple[int, str]:
        """Asks for a call; its answer comes to those who listen."""
        call = {"fn_index": function, "data": list(data), "session_hash": self.name}
        return self.ask("POST", f"{API}/queue/join", call)

    def messages(self) -> Iterator[dict]:
        """What is told to this visitor, until all calls are done."""
        connection = http.client.HTTPConnection(self.netloc, timeout=300)
        connection.request("GET", f"{API}/queue/data?session_hash={self.name}")
        answer = connection.getresponse()
        try:
            while line := answer.readline():
                if line.startswith(b"data: "):
                    message = json.loads(line[6:])
                    if message["msg"] == "close_stream":
                        return
                    yield message
        finally:
            answer.close()
            connection.close()

    def call(self, function: int, data: Sequence[Any]) -> dict:
        """The last message of a call: `success`, `output`."""
        status, text = self.join(function, data)
        if status != 200:
            return {"success": False, "output": {"error": text}}
        last = [m for m in self.messages() if m["msg"] == "process_completed"]
        return last[-1] if last else {"success": False, "output": {"error": None}}

    def usual(self, function: int) -> list[Any]:
        """What the page has at first for a function's inputs."""
        parts = [self.components[i] for i in self.functions[function]["inputs"]]
        return [part["props"].get("value") for part in parts]

    def named(self, elem_id: str) -> int:
        """The number of a component."""
        return next(
            i
            for i, c in self.components.items()
            if c["props"].get("elem_id") == elem_id
        )

    def at(self, elem_id: str, event: str) -> int:
        """The function that an event of a component calls."""
        target = [self.named(elem_id), event]
        return next(i for i, f in self.functions.items() if target in f["targets"])


def form(data: bytes, name: str = "a.png") -> bytes:
    """The body of an upload."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="files"; '
    tail = f"\r\n--{_BOUNDARY}--\r\n"
    return f'{head}filename="{name}"\r\n\r\n'.encode() + data + tail.encode()


def picture(side: int, channels: int) -> bytes:
    """A PNG of noise."""
    noise = np.random.default_rng().integers(0, 256, (side, side, channels))
    return images.encode_png(noise.astype(np.uint8))


def painting(visitor: Visitor, layer: bytes) -> list[Any]:
    """The values of a search for what a layer means, the shortest."""
    function = visitor.at("paint-start", "click")
    values = visitor.usual(function)
    inputs = visitor.functions[function]["inputs"]
    value = {"background": None, "layers": [visitor.upload(layer)], "composite": None}
    values[inputs.index(visitor.named("editor"))] = value
    values[inputs.index(visitor.named("paint-effort"))] = "quick"
    values[inputs.index(visitor.named("paint-mode"))] = "Scribble"
    return values


def visit(url: str, end: float, searches: float, found: list, errors: list) -> None:
    """Calls functions until a time; adds the seconds of each call."""
    visitor = Visitor(url)
    drawing = [
        function
        for function, about in visitor.functions.items()
        if about["queue"] and any(t[1] in ("change", "input") for t in about["targets"])
    ]
    seeds = [
        i
        for i, c in visitor.components.items()
        if str(c["props"].get("elem_id")).endswith("-seed")
    ]
    upload = visitor.at("upload", "upload")
    while time.monotonic() < end:
        function = random.choice([*drawing, upload])
        values = visitor.usual(function)
        start = time.monotonic()
        try:
            if random.random() < searches:
                function = visitor.at("paint-start", "click")
                values = painting(visitor, picture(448, 4))
            elif function == upload:
                values[0] = visitor.upload(picture(300, 3))
            for i, part in enumerate(visitor.functions[function]["inputs"]):
                if part in seeds:
                    values[i] = random.randrange(10_000)
            answer = visitor.call(function, values)
            if not answer["success"]:
                errors.append(f"{function}: {answer['output']}")
        except Exception as error:  # all are to be seen
            errors.append(repr(error))
        found.append(time.monotonic() - start)


def main(argv: Sequence[str] | None = None) -> None:
    """Serves, visits, prints."""
    parser = argparse.ArgumentParser(description="Visitors of the demo, all at once.")
    parser.add_argument("network", nargs="?", default="portraits", type=Path)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument(
        "--searches", type=float, default=0.0, help="share of calls that search"
    )
    args = parser.parse_args(argv)
    found: list[float] = []
    errors: list[str] = []
    with served(args.network) as url:
        end = time.monotonic() + args.seconds
        threads = [
            threading.Thread(
                target=visit, args=(url, end, args.searches, found, errors)
            )
            for _ in range(args.visitors)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if not found:
        raise SystemExit("nobody was answered")
    most = sorted(found)[-max(len(found) // 100, 1)]
    print(
        f"{args.visitors} visitors, {args.seconds:.0f} s: {len(found)} calls, "
        f"{len(errors)} errors, median {statistics.median(found):.2f} s, "
        f"1 of 100 above {most:.2f} s"
    )
    for error in errors[:5]:
        print(error)


if __name__ == "__main__":
    main()
