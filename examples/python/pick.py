"""A protocol of one's own: Plumline chooses the endpoint, the program does the talking.

`python examples/python/pick.py plum://127.0.0.1:8080`
"""

import socket
import sys

import plumline


def main(registry: str | None = None) -> None:
    # Without an address: the variable PLUMLINE_REGISTRY.
    with plumline.Client(registry) as plum:
        # The block reports how it went: an exception counts as a failure of the endpoint, and enough of them
        # take it out.
        with plum.pick("greeter") as pick:
            print(greet(pick.endpoint, "a plum"))

        # The same by hand. The first word counts; a pick that is dropped without one says nothing.
        pick = plum.pick("greeter")
        try:
            print(greet(pick.endpoint, "another plum"))
        except OSError:
            pick.failure()
            raise
        pick.success()


def greet(endpoint: plumline.Endpoint, name: str) -> str:
    """One line there, one line back."""
    with socket.create_connection((endpoint.ip, endpoint.port), timeout=1) as connection:
        connection.sendall(f"{name}\n".encode())
        with connection.makefile(encoding="utf-8") as lines:
            return lines.readline().rstrip("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
