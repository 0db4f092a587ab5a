//! ingest

pub mod content;
