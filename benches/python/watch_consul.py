"""Watches a service in Consul by blocking queries, as its documentation shows, and prints each port it sees."""

import http.client
import json
import sys

host, service = sys.argv[1:]
connection = http.client.HTTPConnection(host)
index = "0"
while True:
    connection.request(
        "GET", f"/v1/health/service/{service}?passing&index={index}&wait=60s"
    )
    answer = connection.getresponse()
    rows = json.load(answer)
    index = answer.headers["X-Consul-Index"]
    for row in rows:
        print(f"127.0.0.1:{row['Service']['Port']}", flush=True)
