"""The training report: one page that shows what a hasher learned, beside its baselines, with nothing to load."""

from scripts.report.folder import check_folder
from scripts.report.material import Material
from scripts.report.report import write_report

__all__ = ["Material", "check_folder", "write_report"]
