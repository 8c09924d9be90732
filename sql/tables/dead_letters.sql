-- Records no table took, with the reason. Nothing is dropped in silence.
-- @delta seq, ts, recv_ts
-- @plain payload
CREATE TABLE IF NOT EXISTS hot.dead_letters (
    seq     UBIGINT,          -- raw message; NULL if the input never became one
    venue   VARCHAR,          -- venue folder's name, where known
    symbol  VARCHAR,          -- instrument, where known
    ts      TIMESTAMP_NS,     -- equals recv_ts
    recv_ts TIMESTAMP_NS,     -- time the message was received, UTC, where known
    target  VARCHAR,          -- table it was meant for; NULL if unknown
    reason  VARCHAR NOT NULL, -- why it was refused, in words
    payload VARCHAR,          -- the record, verbatim, as far as it is text
    source  VARCHAR,          -- file it came from
    line    UBIGINT           -- line in that file, from 1
);
