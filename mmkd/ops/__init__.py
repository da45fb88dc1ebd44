"""Operations of several methods: divergences, distances, masks, connectors."""
