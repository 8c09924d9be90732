-- The adjusted close is the venue's own. Half a percent is more than closes of weeks instead of days make of it in
-- decades: a split or dividend is missing, wrong, or newer than the bars.
-- @severity warn
SELECT s.venue, s.symbol, f."interval", count(*) AS bars, min(f.date) AS from_date, max(f.date) AS to_date,
       max(abs(f.adjusted_close / f.adj_close - 1)) AS off_by
FROM fact_adjusted_prices f JOIN dim_stock s USING (stock_key)
WHERE f.adj_close > 0 AND abs(f.adjusted_close - f.adj_close) > 0.0001 AND abs(f.adjusted_close / f.adj_close - 1) > 0.005
GROUP BY ALL
