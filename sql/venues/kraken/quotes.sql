-- Best bid and ask: `ticker` of WebSocket v2 and `spread` of v1. Neither has an id. update_id is made of what the
-- message says, so that its copies get the same one: the time in microseconds, and 12 bits of a hash of the prices and
-- sizes for quotes of one microsecond. A ticker without a time (before 2025) has ts = recv_ts and no update_id.
-- A price of 0 stands for no bid, or no ask.
-- The text filters begin with no quotation mark on purpose: a rare first character is found many times faster.
-- @match ticker"
-- @match spread"
SELECT seq, recv_ts, venue, symbol, IF(timed, ts, recv_ts) AS ts,
       nullif(bid, 0) AS bid_price, IF(bid = 0, NULL, bid_size) AS bid_size,
       nullif(ask, 0) AS ask_price, IF(ask = 0, NULL, ask_size) AS ask_size,
       TRY((epoch_us(ts) * 4096)::UBIGINT)
       + md5_number_lower(concat_ws(' ', bid, bid_size, ask, ask_size)) % 4096 AS update_id
FROM (
    SELECT seq, recv_ts, venue, t.symbol, t.timestamp IS NOT NULL AS timed,
           TRY_CAST(t.timestamp AS TIMESTAMP_NS) AS ts, checked_number(t.bid) AS bid,
           checked_number(t.bid_qty) AS bid_size, checked_number(t.ask) AS ask, checked_number(t.ask_qty) AS ask_size
    FROM (
        SELECT seq, recv_ts, venue, unnest(m.data) AS t
        FROM (
            SELECT seq, recv_ts, venue,
                   unnest([from_json(payload, '{"channel": "VARCHAR", "data": [{"symbol": "VARCHAR",
                       "timestamp": "VARCHAR", "bid": "VARCHAR", "bid_qty": "VARCHAR", "ask": "VARCHAR",
                       "ask_qty": "VARCHAR"}]}')]) AS m
            FROM raw WHERE starts_with(payload, '{') AND contains(payload, 'ticker"')
        )
        WHERE m.channel = 'ticker'
    )
    UNION ALL
    SELECT seq, recv_ts, venue, f[7] AS symbol, true AS timed,
           make_timestamp_ns(split_part(f[3], '.', 1)::BIGINT * 1000000000
                             + rpad(split_part(f[3], '.', 2), 9, '0')::BIGINT) AS ts,
           f[1]::DOUBLE AS bid, f[4]::DOUBLE AS bid_size, f[2]::DOUBLE AS ask, f[5]::DOUBLE AS ask_size
    FROM (
        SELECT seq, recv_ts, venue,
               unnest([json_extract_string(payload, ['$[1][0]', '$[1][1]', '$[1][2]', '$[1][3]', '$[1][4]', '$[#-2]',
                                                     '$[#-1]'])]) AS f
        FROM raw WHERE starts_with(payload, '[') AND contains(payload, 'spread"')
    )
    WHERE f[6] = 'spread'
)
