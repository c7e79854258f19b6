"""The leased connection of a process to the store file."""
