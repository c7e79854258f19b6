"""`python -m lumibot_duckdb` is the command `lumibot-duckdb`."""

import sys

from lumibot_duckdb.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
