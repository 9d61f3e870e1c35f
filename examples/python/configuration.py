"""Settings: for everything, for one service, for one call, and while the program runs.

`python examples/python/configuration.py` (needs no registry)
"""

import plumline


def main() -> None:
    # Beneath these lie the environment (PLUMLINE_TIMEOUT=5s) and the file that PLUMLINE_CONFIG names.
    # No server stands behind these addresses: a stub answers in its place.
    with plumline.Client(
        "static://10.0.0.7:8080,10.0.0.8:8080",
        transport=answer,
        timeout="5s",
        headers={"X-Team": "fruit"},
        services={"orders": {"timeout": 0.8, "balancer": "round_robin", "retry": {"attempts": 2}}},
    ) as plum:
        print(plum.get("orders", "/team").text)
        print(plum.get("orders", "/team", timeout=30, attempts=5).status_code)

        plum.configure({"headers": {"X-Team": "vegetables"}})
        print(plum.get("orders", "/team").text)
        print(plum.explain("orders"), end="")

    # A key that is misspelt is refused, with the one that was probably meant.
    try:
        plumline.Client("memory://", retry={"attemps": 2})  # type: ignore[typeddict-unknown-key]
    except plumline.PlumInvalidArgumentError as error:
        print(error)


def answer(request: plumline.Request, _: plumline.Endpoint) -> plumline.Response:
    return plumline.Response(200, content=request.headers["X-Team"])


if __name__ == "__main__":
    main()
