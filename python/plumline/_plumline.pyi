"""The extension module. Import `plumline` instead."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack, final, overload

from ._config import Balancer, Config, RegistryConfig
from ._stats import Stats
from ._types import Content, HeaderFields, Params, Timeout
from .errors import Kind, PlumError

_Default = TypeVar("_Default")

__all__ = [
    "Change",
    "Choice",
    "Client",
    "Endpoint",
    "Explanation",
    "Headers",
    "Pick",
    "Registration",
    "Request",
    "Response",
    "Service",
    "TraceStep",
    "Verdict",
    "Watch",
    "__version__",
    "at_exit",
    "config_schema",
    "drain_logs",
    "forked",
    "kinds",
    "log_socket",
]

__version__: str

@final
class Client:
    def __new__(
        cls,
        registry: str | Sequence[str] | RegistryConfig | None = None,
        *,
        transport: Callable[[Request, Endpoint], Response] | None = None,
        balancer: Literal["p2c_ewma", "round_robin", "random"] | Balancer | None = None,
        on_request: Callable[[Request, Endpoint], object] | None = None,
        on_response: Callable[[Request, Endpoint, Response | PlumError], object] | None = None,
        **config: Unpack[Config],
    ) -> Self: ...
    def discover(
        self,
        service: str,
        *,
        version: str | None = None,
        protocol: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> list[Endpoint]: ...
    def pick(
        self,
        service: str,
        *,
        version: str | None = None,
        protocol: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Pick: ...
    def get(
        self,
        service: str,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Response: ...
    def post(
        self,
        service: str,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Response: ...
    def put(
        self,
        service: str,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Response: ...
    def patch(
        self,
        service: str,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Response: ...
    def delete(
        self,
        service: str,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Response: ...
    def head(
        self,
        service: str,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Response: ...
    def options(
        self,
        service: str,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Response: ...
    def call(
        self,
        method: str,
        service: str,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Response: ...
    def service(
        self,
        service: str,
        *,
        version: str | None = None,
        protocol: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Service: ...
    def register(
        self,
        service: str,
        port: int,
        *,
        host: str | None = None,
        protocol: str | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
        weight: int | None = None,
        zone: str | None = None,
        tags: Sequence[str] | None = None,
        ttl: Timeout | None = None,
        instance_id: str | None = None,
        healthy: bool | None = None,
    ) -> Registration: ...
    def watch(self, service: str) -> Watch: ...
    def watch_all(self) -> Watch: ...
    def wait_for(
        self,
        service: str,
        timeout: Timeout,
        *,
        version: str | None = None,
        protocol: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None: ...
    def explain(
        self,
        service: str,
        *,
        version: str | None = None,
        protocol: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Explanation: ...
    def services(self) -> list[str]: ...
    def stats(self) -> Stats: ...
    def publish(self, service: str, endpoints: Iterable[Endpoint]) -> None: ...
    def clear_cache(self) -> None: ...
    def configure(self, changes: Config | Mapping[str, Any]) -> None: ...
    def close(self, drain: Timeout | None = None) -> None: ...
    @property
    def is_closed(self) -> bool: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _exc_type: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...

@final
class Service:
    @property
    def name(self) -> str: ...
    def pick(self) -> Pick: ...
    def get(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
    ) -> Response: ...
    def post(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
    ) -> Response: ...
    def put(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
    ) -> Response: ...
    def patch(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
    ) -> Response: ...
    def delete(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
    ) -> Response: ...
    def head(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
    ) -> Response: ...
    def options(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
    ) -> Response: ...
    def call(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        headers: HeaderFields | None = None,
        json: Any = None,
        content: Content | None = None,
        data: Params | None = None,
        timeout: Timeout | None = None,
        attempt_timeout: Timeout | None = None,
        attempts: int | None = None,
        idempotent: bool | None = None,
        max_body: int | None = None,
    ) -> Response: ...

@final
class Response:
    def __new__(
        cls,
        status_code: int = 200,
        *,
        json: Any = None,
        headers: HeaderFields | None = None,
        content: Content | None = None,
        endpoint: Endpoint | None = None,
    ) -> Self: ...
    @property
    def status_code(self) -> int: ...
    @property
    def is_success(self) -> bool: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def content(self) -> bytes: ...
    @property
    def text(self) -> str: ...
    def json(self) -> Any: ...
    def raise_for_status(self) -> Response: ...
    @property
    def service(self) -> str: ...
    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def attempts(self) -> int: ...
    @property
    def trace(self) -> tuple[TraceStep, ...]: ...
    @property
    def elapsed(self) -> timedelta: ...
    def __eq__(self, other: object, /) -> bool: ...
    @staticmethod
    def _restored(
        status_code: int, headers: HeaderFields, content: bytes, endpoint: Endpoint
    ) -> Response: ...

@final
class Headers(Mapping[str, str]):
    def __new__(cls, headers: HeaderFields | None = None) -> Self: ...
    def __getitem__(self, key: str, /) -> str: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...
    @overload
    def get(self, key: str, default: None = None) -> str | None: ...
    @overload
    def get(self, key: str, default: str) -> str: ...
    @overload
    def get(self, key: str, default: _Default) -> str | _Default: ...
    def get_list(self, name: str) -> list[str]: ...
    def keys(self) -> list[str]: ...  # type: ignore[override]
    def values(self) -> list[str]: ...  # type: ignore[override]
    def items(self) -> list[tuple[str, str]]: ...  # type: ignore[override]
    def multi_items(self) -> list[tuple[str, str]]: ...
    def __eq__(self, other: object, /) -> bool: ...

@final
class Request:
    @property
    def method(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def headers(self) -> Headers: ...
    @property
    def content(self) -> bytes: ...
    def json(self) -> Any: ...
    @property
    def attempt(self) -> int: ...
    def set_header(self, name: str, value: str) -> None: ...

@final
class Endpoint:
    def __new__(
        cls,
        service: str,
        host: str,
        port: int,
        *,
        ip: str = "",
        protocol: str = "http",
        version: str = "",
        labels: Mapping[str, str] | None = None,
        weight: int = 1,
        zone: str = "",
        healthy: bool = True,
        instance_id: str = "",
        node_id: str = "",
        last_seen: int = 0,
        source: str = "",
        generation: str = "",
    ) -> Self: ...
    @property
    def service(self) -> str: ...
    @property
    def instance_id(self) -> str: ...
    @property
    def node_id(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def ip(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def protocol(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def labels(self) -> dict[str, str]: ...
    @property
    def weight(self) -> int: ...
    @property
    def zone(self) -> str: ...
    @property
    def healthy(self) -> bool: ...
    @property
    def last_seen(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def generation(self) -> str: ...
    @property
    def address(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...
    @staticmethod
    def _from_json(record: str) -> Endpoint: ...

@final
class Change:
    def __new__(
        cls,
        service: str,
        kind: Literal["snapshot", "changed", "registry_down", "registry_up"],
        endpoints: Iterable[Endpoint],
        *,
        added: Iterable[Endpoint] | None = None,
        updated: Iterable[Endpoint] | None = None,
        removed: Iterable[Endpoint] | None = None,
    ) -> Self: ...
    @property
    def service(self) -> str: ...
    @property
    def kind(self) -> Literal["snapshot", "changed", "registry_down", "registry_up"]: ...
    @property
    def added(self) -> tuple[Endpoint, ...]: ...
    @property
    def updated(self) -> tuple[Endpoint, ...]: ...
    @property
    def removed(self) -> tuple[Endpoint, ...]: ...
    @property
    def endpoints(self) -> tuple[Endpoint, ...]: ...
    def __eq__(self, other: object, /) -> bool: ...
    @staticmethod
    def _restored(
        service: str,
        kind: str,
        endpoints: Iterable[Endpoint],
        added: Iterable[Endpoint],
        updated: Iterable[Endpoint],
        removed: Iterable[Endpoint],
    ) -> Change: ...

@final
class TraceStep:
    def __new__(
        cls,
        endpoint: Endpoint,
        *,
        status: int | None = None,
        kind: Kind | int | None = None,
        error: str | None = None,
        elapsed: Timeout | None = None,
    ) -> Self: ...
    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def status(self) -> int | None: ...
    @property
    def kind(self) -> Kind | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def elapsed(self) -> timedelta: ...
    def __eq__(self, other: object, /) -> bool: ...
    @staticmethod
    def _restored(
        endpoint: Endpoint, status: int | None, kind: int | None, error: str | None, elapsed: timedelta
    ) -> TraceStep: ...

@final
class Pick:
    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def is_stale(self) -> bool: ...
    def success(self) -> None: ...
    def failure(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...

@final
class Watch:
    def get(self, timeout: Timeout | None = None) -> Change | None: ...
    def close(self) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Change: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _exc_type: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...

@final
class Registration:
    @property
    def state(
        self,
    ) -> Literal["waiting_for_port", "registering", "registered", "unreachable", "refused", "closed"]: ...
    @property
    def address(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def instance_id(self) -> str: ...
    @property
    def last_error(self) -> PlumError | None: ...
    def wait(self, timeout: Timeout | None = None) -> None: ...
    def update(
        self,
        *,
        port: int | None = None,
        host: str | None = None,
        protocol: str | None = None,
        version: str | None = None,
        labels: Mapping[str, str] | None = None,
        weight: int | None = None,
        zone: str | None = None,
        tags: Sequence[str] | None = None,
        ttl: Timeout | None = None,
        healthy: bool | None = None,
    ) -> None: ...
    def close(self, drain: Timeout | None = None) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        _exc_type: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None: ...

@final
class Explanation:
    @property
    def query(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def usable(self) -> int: ...
    @property
    def source(self) -> str: ...
    @property
    def endpoints(self) -> tuple[Verdict, ...]: ...

@final
class Verdict:
    @property
    def address(self) -> str: ...
    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def usable(self) -> bool: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...
    @property
    def ewma_ms(self) -> float | None: ...
    @property
    def success(self) -> float: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def weight(self) -> int: ...

@final
class Choice:
    @property
    def in_flight(self) -> tuple[int, ...]: ...
    @property
    def latency(self) -> tuple[float | None, ...]: ...
    @property
    def tried(self) -> tuple[bool, ...]: ...

def kinds() -> list[tuple[str, int]]: ...
def config_schema() -> str: ...
def forked() -> None: ...
def at_exit() -> None: ...
def drain_logs() -> None: ...
def log_socket() -> int: ...
