"""opjournal from Python: journals and namespaces over the C ABI, through cffi.

The declarations are read from include/opjournal.h itself, so nothing here can differ from it. cffi releases the GIL during every call, so a
blocking one holds up its own thread only. After os.fork() every call in the child raises FORKED: with multiprocessing use "spawn", or open the
journal in the child.
"""

import itertools
import json
import os
import re
import sys
import threading
from concurrent.futures import Future, wait
from pathlib import Path

import cffi

HEADER = Path(__file__).resolve().parents[2] / "include" / "opjournal.h"
NAME = "libopjournal.0.dylib" if sys.platform == "darwin" else "libopjournal.so.0"
QUEUE_SLOTS = 1024
AT_ONCE = 64


class OpjournalError(Exception):
    """A call that failed. `outcome` is "none" (nothing was written, nor ever will be) or "unknown" (settle it before you repeat it)."""

    def __init__(self, code: str, answer: bytes):
        members = json.loads(answer) if answer else {}
        self.code = members.pop("code", code)
        self.message = members.pop("message", "the call failed")
        self.outcome = members.pop("outcome", "none")
        self.retryable = members.pop("retryable", False)
        self.details = members  # whatever else names the place: "op", "field", "segment", "object", ...
        super().__init__(f"{self.code}: {self.message}")


class Library:
    """The shared library, loaded. All journals of one `Library` share nothing but its code."""

    def __init__(self, path: str | None = None, header: Path = HEADER):
        """Loads `path`; without it what OPJOURNAL_LIBRARY names, or else what the system's loader finds. Raises ImportError."""
        path = path or os.environ.get("OPJOURNAL_LIBRARY") or NAME
        self.ffi = cffi.FFI()
        self.ffi.cdef(self._declarations(header.read_text(encoding="utf-8")))
        try:
            self.c = self.ffi.dlopen(path)
            has = self.c.opjournal_abi_version()
        except (OSError, AttributeError) as error:
            raise ImportError(f"the opjournal library cannot be loaded: {error}; OPJOURNAL_LIBRARY may name its place") from error
        needs = self.c.OPJOURNAL_ABI_VERSION
        if has < needs:
            raise ImportError(f"{path} has ABI version {has}, this program needs at least {needs}")

    @staticmethod
    def _declarations(text: str) -> str:
        """The header as cffi takes it: without comments, without what is for the preprocessor or C++, with numbers as numbers."""
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        text = re.sub(r"^#ifdef __cplusplus.*?^#endif[^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)
        text = text.replace("INT64_MIN", "-0x8000000000000000")
        return re.sub(r"^#(?!define \w+ \S).*$", "", text, flags=re.MULTILINE)

    def call(self, name: str, *arguments) -> bytes:
        """Calls a function whose last parameter is `result`. Gives what it answers, or raises."""
        with Buffer(self) as buffer:
            status = getattr(self.c, name)(*arguments, buffer.out)
            self.check(status, buffer.text())
            return buffer.text()

    def check(self, status: int, answer: bytes = b"") -> None:
        if status != self.c.OPJOURNAL_OK:
            raise OpjournalError(self.ffi.string(self.c.opjournal_status_name(status)).decode(), answer)

    def timeout(self, seconds: float | None) -> int:
        """A timeout as the library counts it. None: as long as the header says for each call."""
        return self.c.OPJOURNAL_TIMEOUT_DEFAULT if seconds is None else max(0, round(seconds * 1000))


class Buffer:
    """A buffer that the library fills, or has filled, given back at the end of the block."""

    def __init__(self, library: Library, out=None):
        self.library = library
        self.out = library.ffi.new("opjournal_buffer *") if out is None else out

    def __enter__(self) -> "Buffer":
        return self

    def __exit__(self, *_) -> None:
        self.library.c.opjournal_buffer_free(self.out)

    def text(self) -> bytes:
        return self.library.ffi.unpack(self.out.data, self.out.len) if self.out.len else b""


class Completions:
    """A queue, and the thread that reads it and ends futures. Accepted means exactly one completion, so no future is forgotten."""

    def __init__(self, library: Library):
        self.library = library
        self.pending: dict[int, Future] = {}
        self.tags = itertools.count(1)  # 0 is the tag of log records
        out = library.ffi.new("opjournal_queue *")
        library.call("opjournal_queue_open", QUEUE_SLOTS, out)
        self.queue = out[0]
        self.reader = threading.Thread(target=self._read, name="opjournal-completions", daemon=True)
        self.reader.start()

    def submit(self, name: str, handle: int, *arguments) -> Future:
        tag, future = next(self.tags), Future()
        future.set_running_or_notify_cancel()
        self.pending[tag] = future  # first: the completion may come before the call returns
        try:
            self.library.call(name, handle, self.queue, tag, *arguments)
        except OpjournalError:
            del self.pending[tag]  # refused, so none will come
            raise
        return future

    def close(self) -> None:
        """After the close of the journal: waits for what is still owed, which is on its way, and ends the thread."""
        wait(list(self.pending.values()))
        self.library.check(self.library.c.opjournal_queue_close(self.queue))
        self.reader.join()

    def _read(self) -> None:
        ffi, c = self.library.ffi, self.library.c
        completions, count = ffi.new("opjournal_completion[]", AT_ONCE), ffi.new("size_t *")
        while c.opjournal_queue_wait(self.queue, completions, AT_ONCE, c.OPJOURNAL_TIMEOUT_NEVER, count) == c.OPJOURNAL_OK:
            for completion in completions[0 : count[0]]:
                with Buffer(self.library, ffi.addressof(completion, "result")) as buffer:
                    status, answer = completion.status, buffer.text()
                future = self.pending.pop(completion.tag, None)
                if future is None:
                    continue  # of a kind that this file does not know
                try:
                    self.library.check(status, answer)
                    future.set_result(json.loads(answer))
                except OpjournalError as error:
                    future.set_exception(error)


class Journal:
    """An open journal: a replica of its own. Use it in `with`, or call `close`. Any thread may call anything."""

    def __init__(self, library: Library, config: dict):
        self.library = library
        self.completions = Completions(library)
        text, out = encode(config), library.ffi.new("opjournal_journal *")
        try:
            self.warnings = json.loads(library.call("opjournal_open", text, len(text), out))["warnings"]
        except BaseException:
            self.completions.close()
            raise
        self.handle, self.closed = out[0], False
        self.namespaces: set[int] = set()  # the handles that are open

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def namespace(self, name: str, timeout: float | None = None) -> "Namespace":
        text, out = name.encode(), self.library.ffi.new("opjournal_namespace *")
        self.library.call("opjournal_namespace_open", self.handle, text, len(text), self.library.timeout(timeout), out)
        self.namespaces.add(out[0])
        return Namespace(self, out[0])

    def close(self, timeout: float | None = None) -> None:
        """Waits for the writes that are on their way. It is closed in any case; raises where the outcome of some stays unknown.

        Not for a callback of one of its futures: the thread that it would wait for is its own.
        """
        if self.closed:
            return
        self.closed = True
        try:
            self.library.call("opjournal_close", self.handle, self.library.timeout(timeout))
        finally:
            self.completions.close()
            # A handle keeps the memory of its namespace until it is closed, also after its journal.
            while self.namespaces:
                self.library.check(self.library.c.opjournal_namespace_close(self.namespaces.pop()))


class Namespace:
    """A handle on one namespace."""

    def __init__(self, journal: Journal, handle: int):
        self.journal, self.library, self.handle = journal, journal.library, handle

    def __enter__(self) -> "Namespace":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def apply(self, *ops: dict, timeout: float | None = None) -> str:
        """Writes the ops as one atomic batch and waits until it is durable. Gives the segment that holds it."""
        text = encode(ops)
        return json.loads(self.library.call("opjournal_apply", self.handle, text, len(text), self.library.timeout(timeout)))["segment"]

    def submit(self, *ops: dict, timeout: float | None = None) -> Future:
        """As `apply`, without waiting: a future of `{"segment": ...}`. In asyncio: `await asyncio.wrap_future(...)`. Raises where it is refused."""
        text = encode(ops)
        return self.journal.completions.submit("opjournal_apply_async", self.handle, text, len(text), self.library.timeout(timeout))

    def query(self, query: dict | list):
        """What the state in memory answers; a list of queries is answered from one state. Never waits."""
        text = encode(query)
        return json.loads(self.library.call("opjournal_query", self.handle, text, len(text)))

    def flush(self, timeout: float | None = None) -> None:
        """Waits until all that was acknowledged anywhere before this call is visible here."""
        self.library.call("opjournal_flush", self.handle, self.library.timeout(timeout))

    def close(self) -> None:
        """Gives the handle up. Writes that were accepted finish. The journal's close does this too."""
        self.journal.namespaces.discard(self.handle)
        self.library.check(self.library.c.opjournal_namespace_close(self.handle))


def encode(value) -> bytes:
    """JSON as the library takes it: UTF-8, and no NaN. Python's integers are exact, and so are the library's."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
