"""Steps of a data pipeline that the libraries do not have."""
