"""The computation of indicators with TA-Lib and NumPy, one module for each group.

Each function has the name of its indicator. It takes TA-Lib, bars and the parameters, and returns an array for
each output. Values that do not exist are NaN or infinite.
"""
