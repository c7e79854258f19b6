"""The Polygon source on a filled store, against Lumibot's own with its Parquet files in the page cache."""
