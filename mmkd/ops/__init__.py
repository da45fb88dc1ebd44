"""What several methods share: divergences, distances, masks, connectors."""
