"""The parts that all sources share."""
