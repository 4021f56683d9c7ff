-- Who may connect, and what nodes keep secret.

create table mqtt_user (
    -- Prepared by SASLprep.
    username text primary key check (length(cast(username as blob)) between 1 and 255),
    -- SCRAM-SHA-256 (RFC 5802, RFC 7677). All of them or none: a later release may know a user by other means.
    scram_salt blob,
    scram_iterations integer check (scram_iterations > 0),
    scram_stored_key blob check (length(scram_stored_key) = 32),
    scram_server_key blob check (length(scram_server_key) = 32),
    created_at integer not null,
    updated_at integer not null,
    check ((scram_salt is null) + (scram_iterations is null) + (scram_stored_key is null)
           + (scram_server_key is null) in (0, 4))
);

create table secret (
    name text primary key,
    value blob not null
) without rowid;
