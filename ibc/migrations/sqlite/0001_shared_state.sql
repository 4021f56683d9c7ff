-- What one node alone keeps. Times are milliseconds since 1970.

-- Sources of identifiers, which never go back.
create table counter (
    name text primary key,
    value integer not null
) without rowid;
insert into counter (name, value) values ('session', 0), ('epoch', 0), ('batch', 0);

create table node (
    incarnation integer primary key autoincrement,
    name text not null,
    version text not null,
    state text not null,
    lease_until integer not null,
    started_at integer not null,
    died_at integer,
    -- When its clients were let go.
    buried_at integer
);

create table session (
    client_id text primary key,
    id integer not null unique,
    epoch integer not null,
    owner integer,
    -- Seconds; 4294967295: never.
    expiry_interval integer not null,
    -- Only without owner.
    expires_at integer,
    connected_at integer,
    disconnected_at integer
);
create index session_owner on session (owner) where owner is not null;
create index session_expires_at on session (expires_at) where expires_at is not null;

-- Sessions that are gone, whose queues wait for the sweep.
create table ended_session (
    id integer primary key,
    ended_at integer not null
);
create index ended_session_ended_at on ended_session (ended_at);

create table subscription (
    session_id integer not null,
    filter text not null,
    options integer not null,
    identifier integer,
    primary key (session_id, filter)
) without rowid;

create table received (
    session_id integer not null,
    packet_id integer not null,
    primary key (session_id, packet_id)
) without rowid;

create table will (
    client_id text not null,
    epoch integer not null,
    -- The node that has the connection.
    node integer not null,
    session_id integer not null,
    body blob not null,
    -- Seconds.
    delay_interval integer not null,
    -- Null while the connection lives.
    due_at integer,
    -- The node that publishes it.
    taken_by integer,
    primary key (client_id, epoch)
);
create index will_due_at on will (due_at) where due_at is not null;
create index will_connected on will (node) where due_at is null;

create table message (
    id integer primary key,
    body blob not null
);

create table queue (
    session_id integer not null,
    id integer not null,
    source integer not null,
    message_id integer not null,
    options blob not null,
    share text,
    packet_id integer,
    is_released integer not null default 0,
    primary key (session_id, id)
) without rowid;
create index queue_message_id on queue (message_id);
create index queue_shared on queue (session_id, id) where share is not null;

create table retained (
    topic text primary key,
    -- Null: removed.
    body blob,
    version integer not null,
    expires_at integer,
    updated_at integer not null
);
create index retained_updated_at on retained (updated_at);
create index retained_expires_at on retained (expires_at) where expires_at is not null;
