"""The report: from a run folder to one self-contained HTML page, and grids of pictures ready for a slide.

Reads run folders only and never imports torch.
"""

from __future__ import annotations

from .compare import write_comparison
from .grids import write_grids
from .page import write_report
from .study_page import write_study
from .study_view import is_study

__all__ = ["is_study", "write_comparison", "write_grids", "write_report", "write_study"]
