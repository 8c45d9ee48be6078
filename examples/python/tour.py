#!/usr/bin/env python3
"""tour: a counter, a map, a set, a list, a scalar and an atomic batch, written, read back and digested.

    tour.py file:///tmp/journal         writes, then reads
    tour.py file:///tmp/journal read    reads only

The same program stands beside this one in other languages; all print the same.
"""

import asyncio
import sys

from opjournal import Journal, Library, Namespace, OpjournalError


async def write(namespace: Namespace) -> None:
    # One write that blocks this thread until it is durable. A server would leave it to a worker: asyncio.to_thread(namespace.apply, ...).
    namespace.apply({"op": "ScalarSet", "Key": "greeting", "Value": "Grüße, 世界 👋"})

    # Several on their way at once, each a batch of its own; the event loop goes on meanwhile. They share requests to the store.
    writes = [
        namespace.submit({"op": "IntAdd", "Key": "total", "Delta": 2**53 + 1}),
        namespace.submit({"op": "MapSet", "Key": "prices", "MapKey": "tea", "Value": 180}),
        namespace.submit({"op": "MapSet", "Key": "prices", "MapKey": "café", "Value": 250}),
        namespace.submit({"op": "SetAdd", "Key": "seen", "Member": "tea"}),
        namespace.submit({"op": "SetAdd", "Key": "seen", "Member": "nul\0inside"}),
    ]
    await asyncio.gather(*map(asyncio.wrap_future, writes))

    # One batch over several names: every replica sees all of it or nothing.
    namespace.apply(
        {"op": "IntAdd", "Key": "stock", "Delta": -1},
        {"op": "IntMapAdd", "Key": "sold", "MapKey": "tea", "Delta": 1},
        {"op": "ListAppend", "Key": "orders", "Value": {"what": "tea", "quantity": 1}},
    )

    # A batch with a mistake in its second op is refused whole.
    try:
        namespace.apply({"op": "IntAdd", "Key": "stock", "Delta": 1}, {"op": "IntAdd", "Key": "stock", "Delta": "one"})
    except OpjournalError as error:
        retryable = "yes" if error.retryable else "no"
        print(f"refused: {error.code} at op {error.details['op']}, field {error.details['field']}; outcome {error.outcome}, retryable {retryable}")
        print(f"message: {error.message}")


def read(namespace: Namespace) -> None:
    namespace.flush()
    # Several queries in one are answered from one state.
    greeting, total, stock, prices, seen, nul, orders, digest = namespace.query(
        [
            {"op": "ScalarGet", "Key": "greeting"},
            {"op": "IntGet", "Key": "total"},
            {"op": "IntGet", "Key": "stock"},
            {"op": "MapEntries", "Key": "prices"},
            {"op": "SetLen", "Key": "seen"},
            {"op": "SetContains", "Key": "seen", "Member": "nul\0inside"},
            {"op": "ListEntries", "Key": "orders"},
            {"op": "Digest"},
        ]
    )
    print("greeting:", greeting.get("value", "none"))
    print("total:", total)
    print("stock:", stock)
    print("prices:", ", ".join(f"{name} {price}" for name, price in prices))
    print("seen:", seen, "with NUL" if nul else "without NUL")
    print("orders:", ", ".join(f"{order['quantity']} {order['what']}" for order in orders))
    print("digest:", digest["sha256"])


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2) or arguments[1:] not in ([], ["read"]):
        print("usage: tour.py STORE-URL [read]", file=sys.stderr)
        return 2
    reading = len(arguments) == 2
    try:
        with Journal(Library(), {"store": arguments[0], "read_only": reading}) as journal, journal.namespace("tour") as namespace:
            if not reading:
                asyncio.run(write(namespace))
            read(namespace)
    except (ImportError, OpjournalError) as error:
        print(f"tour: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
