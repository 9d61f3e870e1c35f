"""Serves HTTP and registers itself, until its standard input ends (Ctrl-D).

`python examples/python/register.py plum://127.0.0.1:8080`
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import plumline

BODY = b'{"id":7,"name":"a plum"}'


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    wbufsize = -1  # one packet per answer

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


def main(registry: str | None = None) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Orders) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()

        # Without an address: the variable PLUMLINE_REGISTRY.
        with plumline.Client(registry) as plum:
            # `host` is where others reach us; left out, it is this machine's address towards the registry.
            labels = {"env": "example"}
            me = plum.register(
                "orders", port=server.server_port, host="127.0.0.1", version="v1", labels=labels
            )
            me.wait(timeout=10)
            print("registered", me.address, flush=True)

            # What is registered can change at any time, and stays changed after every outage of the registry.
            me.update(labels=labels | {"warm": "yes"})

            sys.stdin.read()
            # Deregisters, then waits for calls that are still on their way. Closing the client does so too.
            me.close(drain=0.2)
            print("deregistered", flush=True)
        server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
