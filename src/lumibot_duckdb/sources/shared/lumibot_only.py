"""What Lumibot's own classes need to take the place of ours; see `class_substitution.lumibot_class_for`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from lumibot_duckdb.analytics.errors import IndicatorError
from lumibot_duckdb.sources.shared.configuration import Configurable
from lumibot_duckdb.sources.shared.telemetry import Telemetry
from lumibot_duckdb.storage.api import AsOf, DataStorageInterface


class LumibotOnly(Configurable):
    """Mix-in for a class of Lumibot's that accepts our arguments and ignores them."""

    use_duckdb: ClassVar[bool] = False

    def __init__(
        self,
        *args: Any,
        use_duckdb: bool = False,
        storage: DataStorageInterface | str | Path | None = None,
        max_memory: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        self.as_of: AsOf | None = self.settings.get("as_of") or self.default_as_of
        super().__init__(*args, **kwargs)

    @classmethod
    def using(cls, storage: Any = None, **settings: Any) -> Any:
        """Return the class to pass to `Strategy.backtest`; no setting of the store matters to Lumibot's class."""
        return cls._configured(storage=storage, **settings)

    @property
    def telemetry(self) -> Telemetry:
        """Zeros, because this source does not use the store."""
        return Telemetry()

    def indicators(self, *args: Any, **kwargs: Any) -> Any:
        """Raise `IndicatorError`: only sources on the store have these."""
        raise IndicatorError(
            f"{type(self).__name__}.indicators needs DuckDB, which is switched off for this backtest: switch it on, or "
            "use self.indicators of the strategy, which Lumibot has"
        )
