"""Browsers that listen and talk: one registry of live calls, and two protocols over it (`legacy`, `v1`)."""
