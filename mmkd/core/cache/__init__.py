"""The cache of a teacher's tensors."""
