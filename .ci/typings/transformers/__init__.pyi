"""For the type checker: every name of transformers is Any. Reading its sources takes pyright ten seconds."""

from typing import Any

def __getattr__(name: str) -> Any: ...
