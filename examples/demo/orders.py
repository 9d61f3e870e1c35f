"""One instance of the demo's service, in Python: a small real HTTP server that registers itself.

``orders.py REGISTRY PORT``; the Rust twin is ``orders.rs``.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import plumline

BODY = json.dumps({"item": 7, "name": "a plum", "from": "python"}).encode()


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open
    wbufsize = -1  # one packet per answer
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:
        """A thousand calls a second are no news."""


def main() -> None:
    registry, port = sys.argv[1], int(sys.argv[2])
    server = ThreadingHTTPServer(("127.0.0.1", port), Orders)
    server.daemon_threads = True
    with plumline.Client(registry) as plum:
        plum.register("orders", port=port, host="127.0.0.1", version="v1")
        server.serve_forever()


if __name__ == "__main__":
    main()
