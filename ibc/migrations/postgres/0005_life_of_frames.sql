-- Is lost in a crash together with the frames: so nodes learn that they must write theirs again.

create sequence frame_life_id;
create unlogged table frame_life (
    id bigint not null,
    is_only boolean primary key default true check (is_only)
);
