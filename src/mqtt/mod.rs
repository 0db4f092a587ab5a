//! The language: bytes and packets.
