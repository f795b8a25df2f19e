"""What the API can do, one generator for each operation, in files by what it is about."""
