-- What the last transaction of each kind gave to its node. When the connection breaks during a commit, the answer is lost, and
-- nobody knows whether it happened: the node repeats the call with the same number, and finds here that it did.

create table outcome (
    node bigint not null,
    -- 0: a batch, 1: claims.
    kind smallint not null,
    number bigint not null,
    -- Of a batch: its first identifier.
    base bigint,
    -- Of claims: what each was given.
    answer bytea,
    primary key (node, kind)
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
