"""A ZooKeeper client that is not Plumline's: kazoo, asked by lines of JSON and answering by lines of JSON."""

import json
import logging
import sys
import time

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry
from kazoo.security import make_digest_acl

PATIENCE = 15.0


class Asker:
    """Connects on the first question, and anew where that connection has failed."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.zk = None

    def connect(self, **more):
        zk = KazooClient(
            hosts=self.hosts,
            timeout=4.0,
            connection_retry=KazooRetry(max_tries=0),
            **more,
        )
        zk.start(timeout=2)
        return zk

    def answer(self, question):
        until = time.monotonic() + PATIENCE
        while True:
            try:
                if self.zk is None or not self.zk.connected:
                    self.leave()
                    self.zk = self.connect()
                return getattr(self, question.pop("do"))(**question)
            except (NoNodeError, NodeExistsError) as error:
                return {"refused": type(error).__name__}
            except (
                KazooException,
                KazooTimeoutError,
                OSError,
            ) as error:  # not there yet, or no longer
                self.leave()
                if time.monotonic() > until:
                    return {"refused": repr(error)}
                question.setdefault("do", self.last)
                time.sleep(0.05)

    def leave(self):
        if self.zk is not None:
            self.zk.stop()
            self.zk.close()
            self.zk = None

    def under(self, path):
        """The data of every child, by name."""
        try:
            names = self.zk.get_children(path)
        except NoNodeError:
            return {}
        asked = [(name, self.zk.get_async(f"{path}/{name}")) for name in names]
        found = {}
        for name, result in asked:
            try:
                found[name] = result.get(timeout=5)[0].decode(errors="replace")
            except NoNodeError:
                pass
        return found

    def put(self, path, data, ephemeral=False):
        try:
            self.zk.create(path, data.encode(), ephemeral=ephemeral, makepath=True)
        except NodeExistsError:
            self.zk.set(path, data.encode())

    def delete(self, path):
        self.zk.delete(path)

    def stat(self, path):
        stat = self.zk.exists(path)
        return (
            None
            if stat is None
            else {"owner": stat.ephemeralOwner, "version": stat.version}
        )

    def lock(self, path, user, password):
        """Only this user may do anything there."""
        acl = [make_digest_acl(user, password, all=True)]
        self.zk.create(path, b"", acl=acl, makepath=True)

    def expire(self, session):
        """Ends somebody else's session, with the password that the server made from its id."""
        password = server_password(session)
        zk = self.connect(client_id=(session, password))
        assert zk.client_id[0] == session, "another session was opened"
        zk.stop()
        zk.close()


def server_password(session):
    """What ZooKeeper's `generatePasswd` makes: java.util.Random, seeded with the id and a constant."""
    seed = ((session ^ 0xB3415C00) ^ 0x5DEECE66D) & ((1 << 48) - 1)
    made = bytearray()
    while len(made) < 16:
        seed = (seed * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        made += (seed >> 16 & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes(made)


def main():
    logging.disable()  # servers are killed here all the time
    asker = Asker(sys.argv[1])
    for line in sys.stdin:
        question = json.loads(line)
        asker.last = question["do"]
        print(json.dumps(asker.answer(question)), flush=True)
    asker.leave()


main()
