"""The settings of a Patchbay: their names, defaults and meaning, and how they are read."""

from config.loader import ConfigError, find_run_dir, from_environment, load
from config.settings import Settings

__all__ = ["ConfigError", "Settings", "find_run_dir", "from_environment", "load"]
