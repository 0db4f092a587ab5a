//! How a worker comes in, and what it says when it does not.
