from __future__ import annotations

from typing import Any

import pytest

from imagelab.io.reading import Reading


@pytest.mark.parametrize("wrong", [{"page": 0}, {"page": -1}, {"white": 0.0}, {"white": float("inf")}])
def test_a_reading_that_means_nothing_is_refused(wrong: dict[str, Any]):
    with pytest.raises(ValueError, match="expected a number"):
        Reading(**wrong)
