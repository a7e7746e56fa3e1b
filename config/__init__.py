"""Declares the settings of a Patchbay and reads them."""

from config.loader import ConfigError, find_run_dir, from_environment, load
from config.settings import Settings

__all__ = ["ConfigError", "Settings", "find_run_dir", "from_environment", "load"]
