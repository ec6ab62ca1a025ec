"""Who drives by hand, one file per source."""
