"""Statistics of overfitting: is the best trial of a sweep luck?"""

from lumibot_duckdb.sweeps.overfitting.assessment import Assessment, assess
from lumibot_duckdb.sweeps.overfitting.cross_validation import CrossValidation, cross_validate
from lumibot_duckdb.sweeps.overfitting.verdict import Verdict, verdict

__all__ = ["Assessment", "CrossValidation", "Verdict", "assess", "cross_validate", "verdict"]
