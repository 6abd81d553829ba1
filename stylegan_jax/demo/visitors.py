"""Visitors: connections, cancellation of searches, and a fair queue."""

import asyncio
import collections
import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr
from gradio import queueing

# The queue of searches, which take long; the others are quick.
SEARCH = "search"
_MOST_EVENTS = 512  # waiting, of all visitors
_MOST_OWN = 24  # of one visitor, waiting or running
_MOST_OWN_SEARCHES = 2
_MOST_NEAR = {SEARCH: 24}  # waiting, of one address
_MOST_UNREAD = 128  # messages that a visitor does not fetch
_MOST_UNREAD_PARTS = 16  # of them pictures of a search that goes on
_PATIENCE = 10  # seconds until a visitor who asked must listen
_BLINK = 2  # seconds without a connection that end nothing
_BUSY = "too much of yours is waiting already; let it finish, or stop your search"
_FULL = "too much is waiting already; try again in a few minutes"


class Visitors:
    """Open connections and the stop flag of each visitor's search."""

    def __init__(self) -> None:
        """No visitors."""
        self._searches: dict[str, threading.Event] = {}
        self._open = {True: collections.Counter(), False: collections.Counter()}

    def begin(self, visitor: str | None) -> threading.Event:
        """A new stop flag for a visitor's search."""
        event = threading.Event()
        self._searches[visitor or ""] = event
        return event

    def stop(self, visitor: str | None) -> None:
        """Sets the stop flag of a visitor's search, if there is one."""
        event = self._searches.pop(visitor or "", None)
        if event is not None:
            event.set()

    @contextlib.contextmanager
    def connected(self, visitor: str, *, listens: bool) -> Iterator[None]:
        """Context of a visitor's open connection.

        Connections that `listens` receive results, others only show that the page is
        open. A visitor's search stops when none listens any more.
        """
        count = self._open[listens]
        count[visitor] += 1
        try:
            yield
        finally:
            count[visitor] -= 1
            if not count[visitor]:
                del count[visitor]
                asyncio.get_running_loop().call_later(_BLINK, self._left, visitor)

    def listens(self, visitor: str) -> bool:
        """Whether a visitor has a connection that receives results."""
        return visitor in self._open[True]

    def here(self, visitor: str) -> bool:
        """Whether a visitor's page is open."""
        return self.listens(visitor) or visitor in self._open[False]

    def _left(self, visitor: str) -> None:
        if not self.listens(visitor):
            self.stop(visitor)


class FairQueue(queueing.Queue):
    """gradio's queue with limits per visitor, least recently served first."""

    def __init__(self, blocks: gr.Blocks, visitors: Visitors) -> None:
        """An empty queue; only visitors who listen are served."""
        super().__init__(True, blocks.max_threads, 1, _MOST_EVENTS, blocks)
        self._visitors = visitors
        self._served: dict[str, int] = {}
        self._count = 0

    async def push(self, body: Any, request: Any, username: Any) -> Any:
        """Queues an event, or says that too many wait."""
        fn = self.blocks.fns[body.fn_index]
        running = [event for job in self.active_jobs for event in job or []]
        waiting = [
            event
            for lane in self.event_queue_per_concurrency_id.values()
            for event in lane.queue
        ]
        mine = [e for e in waiting + running if e.session_hash == body.session_hash]
        same = [e for e in mine if e.concurrency_id == fn.concurrency_id]
        near = [
            e
            for e in waiting
            if e.concurrency_id == fn.concurrency_id and _address(e) == _host(request)
        ]
        if len(mine) >= _MOST_OWN or (
            fn.concurrency_id == SEARCH and len(same) >= _MOST_OWN_SEARCHES
        ):
            return False, _BUSY, "queue_full"
        if len(near) >= _MOST_NEAR.get(fn.concurrency_id, _MOST_EVENTS // 2):
            return False, _FULL, "queue_full"
        return await super().push(body, request, username)

    def get_events(self) -> Any:
        """The next events: by address, then visitor, least recently served first."""
        now = time.monotonic()
        for name, lane in self.event_queue_per_concurrency_id.items():
            limit = lane.concurrency_limit
            if not lane.queue or (limit and lane.current_concurrency >= limit):
                continue
            ready = []
            for event in list(lane.queue):
                if self._visitors.listens(event.session_hash):
                    ready.append(event)
                elif now - event.enqueue_time > _PATIENCE:
                    lane.queue.remove(event)
                    self.event_ids_to_events.pop(event._id, None)
                    own = self.pending_event_ids_session.get(event.session_hash)
                    (own or set()).discard(event._id)
            if ready:
                chosen = min(ready, key=lambda e: [*map(self._last, _parties(e))])
                lane.queue.remove(chosen)
                self._count += 1
                if len(self._served) > 4 * _MOST_EVENTS:
                    self._served.clear()
                self._served.update(dict.fromkeys(_parties(chosen), self._count))
                return [chosen], False, name
        return None

    def send_message(self, event: Any, event_message: Any) -> None:
        """Queues a message for a visitor; ends events whose messages stay unread."""
        unread = self.pending_messages_per_session.get(event.session_hash)
        part = event_message.msg == "process_generating"
        most = _MOST_UNREAD_PARTS if part else _MOST_UNREAD
        if unread is None or unread.qsize() > most:
            event.alive = False
        super().send_message(event, event_message)

    def _last(self, party: str) -> int:
        return self._served.get(party, 0)


def _host(request: Any) -> str:
    return request.client.host if request.client else ""


def _address(event: Any) -> str:
    return _host(event.request)


def _parties(event: Any) -> tuple[str, str]:
    return "address " + _address(event), "visitor " + event.session_hash
