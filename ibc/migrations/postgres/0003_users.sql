-- Who may connect, and what the nodes keep secret together.

create table mqtt_user (
    -- Prepared by SASLprep.
    username text collate "C" primary key check (octet_length(username) between 1 and 255),
    -- SCRAM-SHA-256 (RFC 5802, RFC 7677). All of them or none: a later release may know a user by other means.
    scram_salt bytea,
    scram_iterations integer check (scram_iterations > 0),
    scram_stored_key bytea check (octet_length(scram_stored_key) = 32),
    scram_server_key bytea check (octet_length(scram_server_key) = 32),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    check (num_nulls(scram_salt, scram_iterations, scram_stored_key, scram_server_key) in (0, 4))
);

create table secret (
    name text primary key,
    value bytea not null
);
