-- Sessions of live trading, which grow while they run. A session is a row of `sweeps` whose kind is 'live'; its rows in
-- `equity`, `trades` and the tables below have the number 1.

-- The broker's identifier of the order; NULL for backtests.
ALTER TABLE {db}.trades ADD COLUMN order_id VARCHAR;

-- `updated` is when the session last wrote something, also that it still runs. `batches` counts what it wrote, so that
-- nothing is written twice. `lost` counts rows that could not be kept while the file could not be written.
CREATE TABLE {db}.live_sessions (
    sweep VARCHAR NOT NULL,
    session_id VARCHAR NOT NULL,
    updated TIMESTAMP NOT NULL,
    batches BIGINT NOT NULL,
    lost BIGINT NOT NULL
);

-- One row for each order, when it was first seen.
CREATE TABLE {db}.live_orders (
    sweep VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    "time" TIMESTAMP,
    order_id VARCHAR,
    asset VARCHAR,
    side VARCHAR,
    "type" VARCHAR,
    quantity DOUBLE,
    limit_price DOUBLE,
    stop_price DOUBLE
);

-- What the strategy asked for. `request` counts from 1. `method` is 'history' or 'last_price'; `bars` is NULL if the
-- request returned none or raised an error, whose type is in `error`.
CREATE TABLE {db}.live_requests (
    sweep VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    request BIGINT,
    "time" TIMESTAMP,
    method VARCHAR,
    asset VARCHAR,
    timestep VARCHAR,
    length BIGINT,
    arguments VARCHAR,
    bars BIGINT,
    first_bar TIMESTAMP,
    last_bar TIMESTAMP,
    digest VARCHAR,
    price DOUBLE,
    error VARCHAR
);

-- The bars that were returned. A request has the rows of the last earlier request with the same asset, timestep, length
-- and arguments, from its first to its last bar, except for those that are stored here with its own number: new bars,
-- and bars that changed. A bar that was no longer returned has `gone`.
CREATE TABLE {db}.live_bars (
    sweep VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    request BIGINT,
    "time" TIMESTAMP,
    open DOUBLE,
    high DOUBLE,
    low DOUBLE,
    close DOUBLE,
    volume DOUBLE,
    gone BOOLEAN
);

-- One row for each session. The values are those of the portfolio at the first and the last iteration.
CREATE VIEW {db}.live_summary AS
SELECT
    sweeps.sweep,
    sweeps.status,
    sweeps.strategy,
    sweeps.started,
    sweeps.ended,
    live_sessions.updated,
    coalesce(orders.orders, 0) AS orders,
    coalesce(fills.fills, 0) AS fills,
    coalesce(requests.requests, 0) AS requests,
    equity.first_value,
    equity.last_value,
    live_sessions.lost
FROM live_sessions
JOIN sweeps ON sweeps.sweep = live_sessions.sweep
LEFT JOIN (SELECT sweep, count(*) AS orders FROM live_orders GROUP BY sweep) AS orders
    ON orders.sweep = sweeps.sweep
LEFT JOIN (
    SELECT sweep, count(*) FILTER (event IN ('fill', 'partial_fill')) AS fills FROM trades GROUP BY sweep
) AS fills ON fills.sweep = sweeps.sweep
LEFT JOIN (SELECT sweep, count(*) AS requests FROM live_requests GROUP BY sweep) AS requests
    ON requests.sweep = sweeps.sweep
LEFT JOIN (
    SELECT sweep, first(value ORDER BY rowid) AS first_value, last(value ORDER BY rowid) AS last_value
    FROM equity GROUP BY sweep
) AS equity ON equity.sweep = sweeps.sweep
ORDER BY sweeps.started, sweeps.sweep;
