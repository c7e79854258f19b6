"""The processes of the soak test of upkeep: each repeats its work on the shared store, and checks what it reads.

The model: a writer owns the symbols `W<number>-<n>` and keeps the bars of each beside the store, in a file that it
replaces before every write by the state before and after it. What others read must be one of the states that the symbol
has had, so every write uses one value for all bars of a symbol: their number and that value identify the state.
"""
