"""Hot paths in C beside the Python that specifies them, and the loader that binds them."""
