"""What recording costs a live strategy, in Lumibot's own executor and with its own source of live bars."""
