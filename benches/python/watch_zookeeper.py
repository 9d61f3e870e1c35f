"""Watches a service in ZooKeeper with kazoo, and prints each port it sees."""

import json
import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

host, service = sys.argv[1:]
path = f"/laravel-go/services/{service}"
client = KazooClient(hosts=host)
client.start()
client.ensure_path(path)


@client.ChildrenWatch(path)
def changed(children):
    for child in children:
        try:
            value, _ = client.get(f"{path}/{child}")
        except NoNodeError:
            continue
        print(f"127.0.0.1:{json.loads(value)['port']}", flush=True)


threading.Event().wait()
