"""Every non-public name of Lumibot and pandas that this package uses, with what it relies on."""
