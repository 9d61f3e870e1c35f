"""A TLS server that resets each connection while the peer still writes. Writes `host:port`, and the certificate's file."""

import os
import socket
import ssl
import struct
import subprocess
import sys

where = sys.argv[1] if len(sys.argv) > 1 else os.environ["PLUMLINE_TMP"]
certificate, key = os.path.join(where, "slam.pem"), os.path.join(where, "slam.key")
extensions = [
    "-addext",
    "subjectAltName=IP:127.0.0.1",
    "-addext",
    "basicConstraints=critical,CA:FALSE",
]
subject = ["-subj", "/CN=127.0.0.1", *extensions]
curve = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-x509",
    "-days",
    "2",
]
subprocess.run(
    ["openssl", "req", *curve, *subject, "-keyout", key, "-out", certificate],
    check=True,
    stderr=subprocess.DEVNULL,
)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
    while True:
        peer, _ = listener.accept()
        try:
            secured = context.wrap_socket(peer, server_side=True)
            secured.recv(100)
            secured.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            secured.close()
        except OSError:
            peer.close()
