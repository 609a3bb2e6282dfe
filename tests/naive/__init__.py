"""Plain-Python twins of the kernels: dicts, lists and sorted, written to be obviously right."""
