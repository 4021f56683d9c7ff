//! The shared state of one node alone, on SQLite.
