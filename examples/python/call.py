"""Calls a service by its name. `python examples/python/call.py plum://127.0.0.1:8080`"""

import sys

import plumline


def main(registry: str | None = None) -> None:
    # Without an address: the variable PLUMLINE_REGISTRY.
    with plumline.Client(registry) as plum:
        # An answer of any status is a response; raise_for_status() turns 4xx and 5xx into an exception.
        response = plum.get("orders", "/items/7").raise_for_status()
        print(f"got {response.text} from {response.endpoint.address} in {response.attempts} attempt(s)")

        # A POST is sent once, unless you say that the service may see it twice.
        posted = plum.post(
            "orders",
            "/items",
            json={"name": "a plum"},
            headers={"X-Team": "fruit"},
            idempotent=True,
            timeout=0.8,
        )
        print("posted:", posted.status_code)

        # What is asked for often is worth a handle: the name is looked up once.
        orders = plum.service("orders")
        print("three more:", [orders.get(f"/items/{item}").status_code for item in range(3)])

        # Where nobody can be asked, the exception says why.
        try:
            plum.get("ordrs", "/items/7")
        except plumline.PlumNoEndpointError as error:
            print("as expected:", error)


if __name__ == "__main__":
    main(*sys.argv[1:])
