"""What mmkd knows about families of networks."""
