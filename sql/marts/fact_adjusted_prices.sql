-- Daily and weekly closes of stocks, adjusted backwards for splits and dividends, and what follows from them.
-- A close is multiplied with a factor for every later ex-date: 1 / ratio of a split, 1 - amount / close of a dividend,
-- where close is the last one before the ex-date. So the latest close is as traded, and returns are total returns.
-- Splits and dividends are the venue's own (stock_actions), each kind from the first venue by name that has the symbol if
-- it has none; a dividend that only stands in the bar counts, too. What has not come to its ex-date yet does not.
-- A dividend's close is the day's before if the venue's daily bars have it, else the week's before, which makes a factor
-- that is off by as much as the price moved since then times the yield: some 0.02 % a dividend.
-- Weekly returns of daily bars look back on the last bar that is a week old or older. A week without a bar has no row;
-- the next return then spans it, and is compared with the benchmark's over the same time: NULL where the benchmark lacks
-- the bar at its start or end. Figures over 52 weeks are NULL until 52 weeks are there.
-- @materialize full
-- @key stock_key, interval, date_key, source_key
-- @column price_key VARCHAR md5 of venue|symbol|interval|date
-- @column stock_key VARCHAR version of the stock at the bar's start: dim_stock
-- @column date_key VARCHAR first day of the bar: dim_date
-- @column source_key VARCHAR who gives the bar: dim_source
-- @column interval VARCHAR '1d' or '1w'
-- @column date DATE first day of the bar; of weeks the Monday
-- @column close DOUBLE last price as traded
-- @column volume DOUBLE shares as traded
-- @column split_ratio DOUBLE shares after for one before of splits in the bar; 1 without one
-- @column dividend DOUBLE dividends in the bar, cash a share; 0 without one
-- @column adj_factor DOUBLE what the close is multiplied with
-- @column adjusted_close DOUBLE close adjusted by these splits and dividends
-- @column adj_close DOUBLE the venue's own adjusted close, where it gives one
-- @column weekly_return DOUBLE adjusted close over that of a week before, less 1
-- @column log_return DOUBLE ln of adjusted close over that of the bar before
-- @column zscore DOUBLE adjusted close less its mean of 52 weeks, in standard deviations (of a sample)
-- @column return_zscore DOUBLE the same of weekly_return
-- @column volatility_52w DOUBLE standard deviation of log_return over 52 weeks, annualised: times √52 or √252
-- @column benchmark_return DOUBLE return of `benchmark` between the same two bars as weekly_return
-- @column relative_return DOUBLE weekly_return less the benchmark's
-- @column is_final BOOLEAN false while the bar is still running
-- @test not_null price_key, stock_key, date_key, source_key, interval, date, close, adjusted_close
-- @test unique price_key
-- @test unique stock_key, interval, date_key, source_key
-- @test relationship stock_key -> dim_stock.stock_key
-- @test relationship source_key -> dim_source.source_key
-- @test warn: relationship date_key -> dim_date.date_key
-- @test accepted interval 1d|1w
-- @test warn: range close > 0
-- @test warn: range adjusted_close > 0
-- @test warn: range weekly_return > -1
-- @test range volatility_52w >= 0
WITH traded AS MATERIALIZED (
    FROM stock_bars
), series AS (
    SELECT venue, symbol, "interval", min(date) AS first_date FROM traded GROUP BY ALL
), given_by AS (
    -- Who is believed about each kind of action of a stock.
    SELECT s.venue, s.symbol,
           (min({other: a.venue <> s.venue, name: a.venue}) FILTER (a.ratio <> 1)).name AS of_splits,
           (min({other: a.venue <> s.venue, name: a.venue}) FILTER (a.amount > 0)).name AS of_dividends
    FROM (SELECT DISTINCT venue, symbol FROM series) s JOIN stock_actions a ON a.symbol = s.symbol
    GROUP BY ALL
), actions AS (
    -- A split may leave fewer shares: of those of one day the giver's counts, not the largest number.
    SELECT g.venue, g.symbol, a.ex_date, coalesce(max(a.ratio) FILTER (a.venue = g.of_splits), 1) AS ratio,
           coalesce(max(a.amount) FILTER (a.venue = g.of_dividends), 0) AS amount
    FROM (
        SELECT venue, symbol, of_splits, of_dividends, unnest(list_distinct([of_splits, of_dividends])) AS giver
        FROM given_by
    ) g
    JOIN stock_actions a ON a.venue = g.giver AND a.symbol = g.symbol
    GROUP BY ALL
), closes AS (
    -- The last price before any day; the day's where there is a week's, too.
    SELECT venue, symbol, until, arg_min(close, "interval") AS close FROM traded GROUP BY ALL
), priced AS (
    SELECT a.venue, a.symbol, a.ex_date, a.ratio, a.amount,
           -- The close stands before splits since; the dividend after them.
           c.close / coalesce((SELECT product(s.ratio ORDER BY s.ex_date) FROM actions s
                               WHERE s.venue = a.venue AND s.symbol = a.symbol
                                 AND s.ex_date >= c.until AND s.ex_date < a.ex_date), 1) AS before
    FROM actions a
    ASOF LEFT JOIN closes c ON c.venue = a.venue AND c.symbol = a.symbol AND c.until <= a.ex_date
), fallen AS (
    -- The bar that an action falls into is the first that ends after its ex-date.
    SELECT b.venue, b.symbol, b."interval", b.date, product(p.ratio ORDER BY p.ex_date) AS ratio,
           fsum(p.amount ORDER BY p.ex_date) AS amount,
           product(IF(p.amount < p.before, 1 - p.amount / p.before, 1) / p.ratio ORDER BY p.ex_date) AS step
    FROM (
        -- What was before the first bar is in none.
        SELECT * FROM priced JOIN series USING (venue, symbol)
        WHERE ex_date > first_date - IF("interval" = '1w', 7, 1)
    ) p
    ASOF JOIN traded b ON b.venue = p.venue AND b.symbol = p.symbol AND b."interval" = p."interval"
                          AND p.ex_date < b.until
    GROUP BY ALL
), stepped AS (
    SELECT *, coalesce(ratio, 1) AS split_ratio, IF(amount > 0, amount, coalesce(dividend, 0)) AS paid,
           coalesce(step, 1) * IF(coalesce(amount, 0) = 0 AND dividend > 0 AND dividend < before,
                                  1 - dividend / before, 1) AS own_step
    FROM (
        SELECT *, lag(close) OVER (PARTITION BY venue, symbol, "interval" ORDER BY date) AS before FROM traded
    )
    LEFT JOIN fallen USING (venue, symbol, "interval", date)
), adjusted AS (
    SELECT * EXCLUDE (before), close * adj_factor AS adjusted_close
    FROM (
        SELECT *, coalesce(product(own_step) OVER (PARTITION BY venue, symbol, "interval" ORDER BY date
                                                   ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING), 1) AS adj_factor
        FROM stepped
    )
), returned AS (
    SELECT a.*, a.adjusted_close / IF(a."interval" = '1w', lag(a.adjusted_close) OVER bars, b.adjusted_close) - 1
                AS weekly_return,
           IF(a."interval" = '1w', lag(a.date) OVER bars, b.date) AS since,
           ln(a.adjusted_close / lag(a.adjusted_close) OVER bars) AS log_return
    FROM adjusted a
    ASOF LEFT JOIN adjusted b ON b.venue = a.venue AND b.symbol = a.symbol AND b."interval" = a."interval"
                             AND b.date <= a.date - 7
    WINDOW bars AS (PARTITION BY a.venue, a.symbol, a."interval" ORDER BY a.date)
), figured AS (
    SELECT *,
           CASE WHEN date - min(date) OVER of_stock >= 357
                THEN (adjusted_close - avg(adjusted_close) OVER back) / nullif(stddev_samp(adjusted_close) OVER back, 0)
           END AS zscore,
           CASE WHEN date - min(date) FILTER (weekly_return IS NOT NULL) OVER of_stock >= 357
                THEN (weekly_return - avg(weekly_return) OVER back) / nullif(stddev_samp(weekly_return) OVER back, 0)
           END AS return_zscore,
           CASE WHEN date - min(date) FILTER (log_return IS NOT NULL) OVER of_stock >= 357
                THEN stddev_samp(log_return) OVER back * sqrt(IF("interval" = '1w', 52, 252))
           END AS volatility_52w
    FROM returned
    WINDOW of_stock AS (PARTITION BY venue, symbol, "interval"),
           back AS (PARTITION BY venue, symbol, "interval" ORDER BY date
                    RANGE BETWEEN INTERVAL 363 DAYS PRECEDING AND CURRENT ROW)
), compared_with AS (
    -- Whose benchmark the stocks of a venue are compared with.
    SELECT s.venue, s."interval", min(b.symbol) AS symbol,
           min({other: b.venue <> s.venue, name: b.venue}).name AS giver
    FROM (SELECT DISTINCT venue, "interval" FROM series) s
    JOIN (
        SELECT s.* FROM series s JOIN benchmark k ON s.symbol = k.symbol AND (k.venue IS NULL OR s.venue = k.venue)
    ) b ON b."interval" = s."interval"
    GROUP BY ALL
)
SELECT md5(concat_ws('|', f.venue, f.symbol, f."interval", f.date::VARCHAR)) AS price_key, d.stock_key,
       md5(f.date::VARCHAR) AS date_key, md5(f.venue) AS source_key, f."interval", f.date, f.close, f.volume,
       f.split_ratio, f.paid AS dividend, f.adj_factor, f.adjusted_close, f.adj_close, f.weekly_return, f.log_return,
       f.zscore, f.return_zscore, f.volatility_52w, k.adjusted_close / s.adjusted_close - 1 AS benchmark_return,
       f.weekly_return - (k.adjusted_close / s.adjusted_close - 1) AS relative_return, f.is_final
FROM figured f
ASOF LEFT JOIN dim_stock d ON d.venue = f.venue AND d.symbol = f.symbol AND d.valid_from <= f.ts
LEFT JOIN compared_with w ON w.venue = f.venue AND w."interval" = f."interval"
LEFT JOIN adjusted s ON s.venue = w.giver AND s.symbol = w.symbol AND s."interval" = w."interval" AND s.date = f.since
LEFT JOIN adjusted k ON k.venue = w.giver AND k.symbol = w.symbol AND k."interval" = w."interval" AND k.date = f.date
