-- What the nodes of a cluster share. Everything is created in the current schema.
--
-- Client IDs, topic names and topic filters may be 65535 bytes long, more than fits into an entry of a
-- B-tree. So they are found by the SHA-256 of their UTF-8 bytes: the columns called *_key.

create sequence node_incarnation;
create sequence session_id;
-- One for all clients, so that a client deleted and created again gets a larger epoch than before.
create sequence session_epoch;
-- Each value stands for 65536 identifiers.
create sequence batch;

create table node (
    incarnation bigint primary key,
    name text not null,
    version text not null,
    state text not null check (state in ('joining', 'live', 'draining', 'dead')),
    lease_until timestamptz not null,
    renewed_at timestamptz not null,
    -- Since when it renews without long pauses: a node that was cut off itself cannot judge others.
    steady_since timestamptz not null,
    started_at timestamptz not null,
    died_at timestamptz,
    -- When its clients were let go.
    buried_at timestamptz
) with (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
create unique index node_alive_name on node (name) where state <> 'dead';

create table session (
    client_key bytea primary key,
    client_id text collate "C" not null,
    id bigint not null,
    epoch bigint not null,
    owner bigint,
    -- Seconds; 4294967295: never.
    expiry_interval bigint not null,
    -- Only without owner.
    expires_at timestamptz,
    connected_at timestamptz,
    disconnected_at timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
create unique index session_id_key on session (id);
create index session_owner on session (owner) where owner is not null;
create index session_expires_at on session (expires_at) where expires_at is not null;

-- Sessions that are gone, whose queues wait for the sweep.
create table ended_session (
    id bigint primary key,
    ended_at timestamptz not null
);
create index ended_session_ended_at on ended_session (ended_at);

create table subscription (
    session_id bigint not null,
    filter_key bytea not null,
    filter text collate "C" not null,
    options smallint not null,
    identifier integer,
    primary key (session_id, filter_key)
);

create table received (
    session_id bigint not null,
    packet_id integer not null,
    primary key (session_id, packet_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

create table will (
    client_key bytea not null,
    client_id text collate "C" not null,
    epoch bigint not null,
    -- The node that has the connection.
    node bigint not null,
    session_id bigint not null,
    body bytea not null,
    -- Seconds.
    delay_interval bigint not null,
    -- Null while the connection lives.
    due_at timestamptz,
    -- The node that publishes it.
    taken_by bigint,
    primary key (client_key, epoch)
) with (autovacuum_vacuum_scale_factor = 0.05);
create index will_due_at on will (due_at) where due_at is not null;
create index will_connected on will (node) where due_at is null;

create table message (
    id bigint primary key,
    body bytea not null
) with (
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
    toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 5000
);
alter table message alter column body set storage external;

create table queue (
    session_id bigint not null,
    id bigint not null,
    source bigint not null,
    message_id bigint not null,
    options bytea not null,
    share text,
    packet_id integer,
    is_released boolean not null default false,
    primary key (session_id, id)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
create index queue_message_id on queue (message_id);
create index queue_shared on queue (session_id, id) where share is not null;

create table retained (
    topic_key bytea primary key,
    topic text collate "C" not null,
    -- Null: removed.
    body bytea,
    version bigint not null,
    expires_at timestamptz,
    updated_at timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0.05);
alter table retained alter column body set storage external;
-- The order of the topics; the start of a topic, so that it fits into an entry.
create index retained_topic on retained (left(topic, 600) collate "C");
create index retained_updated_at on retained (updated_at);
create index retained_expires_at on retained (expires_at) where expires_at is not null;

-- What travels from node to node: lost when the database crashes, and sent again then.
create unlogged table frame (
    destination bigint not null,
    source bigint not null,
    sequence bigint not null,
    body bytea not null,
    primary key (destination, source, sequence)
) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_cost_delay = 0,
    toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 5000,
    toast.autovacuum_vacuum_cost_delay = 0
);
alter table frame alter column body set storage external;
