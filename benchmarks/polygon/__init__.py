"""What Polygon users gain: our source on a filled store against Lumibot's own with its own Parquet cache warm."""
