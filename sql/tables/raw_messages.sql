-- Every message exactly as received, before anything reads it. All other tables are made from this
-- one.
-- @key seq
-- @delta seq, recv_ts
-- @plain payload
CREATE TABLE IF NOT EXISTS hot.raw_messages (
    seq     UBIGINT NOT NULL,      -- position in the order of arrival; strictly increasing, never reused
    recv_ts TIMESTAMP_NS NOT NULL, -- time the message was received, UTC; may run behind the venue's clock
    venue   VARCHAR NOT NULL,      -- venue folder's name, which decides who reads the payload
    channel VARCHAR,               -- connection or stream it came by, where known
    symbol  VARCHAR,               -- instrument, only where the request implied it and the payload may not name it
    payload VARCHAR NOT NULL       -- the message, verbatim
);
