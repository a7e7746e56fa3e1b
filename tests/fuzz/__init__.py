"""Whatever bytes a peer sends: no exception but the documented one. `python -m tests.fuzz TARGET` looks for one
longer."""
