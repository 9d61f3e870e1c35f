"""Tells who offers a service, and every change of that, until it is ended (Ctrl-C).

`python examples/python/watch.py plum://127.0.0.1:8080`
"""

import sys

import plumline


def main(registry: str | None = None) -> None:
    # Without an address: the variable PLUMLINE_REGISTRY.
    with plumline.Client(registry) as plum:
        # The first change is what is there now. A slow reader gets changes merged, and misses none.
        for change in plum.watch("orders"):
            addresses = " ".join(endpoint.address for endpoint in change.endpoints)
            print(f"{change.kind}: +{len(change.added)} -{len(change.removed)} {addresses}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
