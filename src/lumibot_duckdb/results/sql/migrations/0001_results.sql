-- Results of backtests: sweeps, their trials, and what each trial did.
--
-- A trial is identified by the name of its sweep and its number in it. There are no keys or indexes: rows are found by
-- the statistics of their row groups, and the one writer at a time keeps identities unique. Times are UTC.

CREATE TABLE {db}.results_meta (
    key VARCHAR NOT NULL,
    value VARCHAR NOT NULL
);

-- `kind` is 'sweep', or 'run' for a single backtest, which is its only trial. `status` is 'running', 'complete',
-- 'interrupted' or 'failed'; a sweep whose process was killed stays 'running'.
CREATE TABLE {db}.sweeps (
    sweep VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    strategy VARCHAR NOT NULL,
    script VARCHAR,
    objective_name VARCHAR,
    direction VARCHAR NOT NULL,
    space JSON NOT NULL,
    settings JSON NOT NULL,
    started TIMESTAMP NOT NULL,
    ended TIMESTAMP,
    as_of TIMESTAMP,
    store VARCHAR,
    versions JSON NOT NULL
);

CREATE TABLE {db}.trials (
    sweep VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    objective DOUBLE,
    phase VARCHAR,
    "window" INTEGER,
    parameters JSON NOT NULL,
    total_return DOUBLE,
    cagr DOUBLE,
    volatility DOUBLE,
    sharpe DOUBLE,
    sortino DOUBLE,
    max_drawdown DOUBLE,
    winning_days DOUBLE,
    win_rate DOUBLE,
    closed_trades DOUBLE,
    exposure DOUBLE,
    fees DOUBLE,
    end_value DOUBLE,
    risk_free_rate DOUBLE,
    error VARCHAR,
    traceback VARCHAR,
    started TIMESTAMP NOT NULL,
    seconds DOUBLE NOT NULL,
    cpu_seconds DOUBLE NOT NULL,
    peak_memory BIGINT NOT NULL,
    own_memory BIGINT,
    versions JSON NOT NULL
);

-- The value of the portfolio at each iteration, in the order of the backtest.
CREATE TABLE {db}.equity (
    sweep VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    "time" TIMESTAMP,
    value DOUBLE,
    cash DOUBLE
);

-- The log of trade events. `event` is Lumibot's status: 'new', 'fill', 'canceled' ...
CREATE TABLE {db}.trades (
    sweep VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    "time" TIMESTAMP,
    event VARCHAR,
    asset VARCHAR,
    side VARCHAR,
    "type" VARCHAR,
    quantity DOUBLE,
    price DOUBLE,
    fees DOUBLE
);

-- The returns of calendar days in UTC (0.01 is 1 %), of the strategy and of its benchmark.
CREATE TABLE {db}.daily_returns (
    sweep VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    "day" DATE,
    value DOUBLE,
    benchmark DOUBLE
);

-- One row for each parameter of each trial. `numeric` is NULL for values that are no numbers.
CREATE VIEW {db}.trial_parameters AS
SELECT
    trials.sweep,
    trials.number,
    parameter.key AS name,
    parameter.value ->> '$' AS value,
    CASE
        WHEN json_type(parameter.value) IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE')
        THEN CAST(parameter.value AS DOUBLE)
    END AS "numeric"
FROM trials, json_each(trials.parameters) AS parameter;

-- Complete trials, the best first: `rank` 1 is the best of its sweep; of a walk-forward sweep, of its phase and window.
CREATE VIEW {db}.best AS
SELECT
    trials.sweep,
    trials.phase,
    trials."window",
    row_number() OVER (
        PARTITION BY trials.sweep, trials.phase, trials."window"
        ORDER BY CASE sweeps.direction WHEN 'minimize' THEN trials.objective ELSE -trials.objective END, trials.number
    ) AS rank,
    trials.number,
    sweeps.objective_name,
    trials.objective,
    trials.parameters,
    trials.total_return,
    trials.cagr,
    trials.sharpe,
    trials.max_drawdown,
    trials.closed_trades
FROM trials
JOIN sweeps ON sweeps.sweep = trials.sweep
WHERE trials.status = 'complete' AND trials.objective IS NOT NULL
ORDER BY trials.sweep, trials.phase, trials."window", rank;

-- Trials without a result, and why.
CREATE VIEW {db}.failed_trials AS
SELECT sweep, number, status, error, parameters, seconds, started
FROM trials
WHERE status <> 'complete'
ORDER BY sweep, number;

-- One row for each sweep, with counts of its trials. The best objective of a walk-forward sweep is that of its joined
-- tests: those of its searches are in sample.
CREATE VIEW {db}.sweep_summary AS
SELECT
    sweeps.sweep,
    sweeps.kind,
    sweeps.status,
    sweeps.strategy,
    sweeps.objective_name,
    sweeps.direction,
    count(trials.number) AS trials,
    count(*) FILTER (trials.status = 'complete') AS complete,
    count(*) FILTER (trials.status <> 'complete') AS others,
    CASE sweeps.direction
        WHEN 'minimize' THEN min(trials.objective) FILTER (trials.status = 'complete' AND coalesce(trials.phase, 'joined') = 'joined')
        ELSE max(trials.objective) FILTER (trials.status = 'complete' AND coalesce(trials.phase, 'joined') = 'joined')
    END AS best,
    sum(trials.cpu_seconds) AS cpu_seconds,
    sweeps.started,
    sweeps.ended
FROM sweeps
LEFT JOIN trials ON trials.sweep = sweeps.sweep
GROUP BY
    sweeps.sweep,
    sweeps.kind,
    sweeps.status,
    sweeps.strategy,
    sweeps.objective_name,
    sweeps.direction,
    sweeps.started,
    sweeps.ended
ORDER BY sweeps.started, sweeps.sweep;
