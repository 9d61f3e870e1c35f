from typing import Any
Config = dict[str, Any]
