-- A frame of several events is no larger than 8,000 bytes (Frame::MOST_BYTES in ibc): it stays in its page. Only a larger
-- one goes to the TOAST table, in pieces of 2,000 bytes with an index entry each.
alter table frame set (toast_tuple_target = 8160);
