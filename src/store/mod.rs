//! The cellar.
