"""The version of the package, which pyproject.toml reads from here, and the name under which pip knows it."""

__version__ = "0.1.0"

DISTRIBUTION = "imagelab-collapse"
