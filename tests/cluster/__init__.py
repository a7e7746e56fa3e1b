"""Several real nodes with a real Redis: these tests are left out where there is no `redis-server`."""
